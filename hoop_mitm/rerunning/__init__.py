"""A recorded session asked again of BigQuery, through the gateway, as a session of its own.

It knows recordings, and BigQuery's REST API as a client does; it is given its way through the gateway.
"""

from hoop_mitm.rerunning.asking import Asking, Refused
from hoop_mitm.rerunning.plan import Left, Plan, Step, plan
from hoop_mitm.rerunning.rerun import Estimate, Rerun, TooMuch

__all__ = ["Asking", "Estimate", "Left", "Plan", "Refused", "Rerun", "Step", "TooMuch", "plan"]
