"""What is left of a charge when somebody is to be forgotten, or its session is too old. Pure: a charge in, a charge out.

The amount stays as long as a budget counts it: nobody else may spend more because somebody was forgotten.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from hoop_mitm.config.cost import Budget
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.payer import Payer

NOBODY: Final = Principal("", "(erased)")
"""Who paid, when that is forgotten."""


def nobodys(charge: Charge, budgets: Sequence[Budget]) -> Charge:
    """Only the amount, with the groups and the connection whose budgets it counts for. Its bill is what is known of it now."""
    groups = tuple(group for group in charge.payer.principal.groups if _counts_group(group, budgets))
    return Charge(
        id=f"erased-{uuid4()}",
        at=charge.at,
        payer=Payer(replace(NOBODY, groups=groups), "", charge.payer.connection),
        reserved=charge.counted,
        billed=charge.counted,
    )


def bare(charge: Charge, budgets: Sequence[Budget]) -> Charge:
    """Without what no budget counts by: e-mail address, session and job, as far as that is so. It has its bill."""
    payer = charge.payer
    email = payer.principal.email
    # As Payer.is_meant_by reads them.
    named = {name.casefold() for budget in budgets for name in budget.principals}
    groups = tuple(group for group in payer.principal.groups if _counts_group(group, budgets))
    principal = replace(payer.principal, email=email if email and email.casefold() in named else None, groups=groups)
    by_session = any(budget.per == "session" for budget in budgets)
    return replace(
        charge,
        payer=Payer(principal, payer.session_id if by_session else "", payer.connection),
        project="",
        job_id=None,
        location=None,
    )


def _counts_group(group: str, budgets: Sequence[Budget]) -> bool:
    return any(group in budget.groups or (budget.per == "group" and not budget.groups) for budget in budgets)
