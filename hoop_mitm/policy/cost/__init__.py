"""What statements may cost: estimates, ceilings and budgets.

Knows BigQuery's jobs by their estimates and bills, principals, and its own ledger; knows nothing of HTTP servers,
mitmproxy or recordings. How BigQuery is asked is handed in.
"""

from hoop_mitm.policy.cost.budgets import BudgetLeft, Budgets
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.costs import Admission, Costs
from hoop_mitm.policy.cost.estimator import Estimator
from hoop_mitm.policy.cost.payer import Payer
from hoop_mitm.policy.cost.prices import Prices

__all__ = ["Admission", "BudgetLeft", "Budgets", "Charge", "Costs", "Estimator", "Payer", "Prices"]
