"""On whose account a statement goes."""

from dataclasses import dataclass

from hoop_mitm.config.cost import Limit
from hoop_mitm.identity.principal import Principal


@dataclass(frozen=True, slots=True)
class Payer:
    """Who asks, in which session (its id, or ``""``), through which connection (its name)."""

    principal: Principal
    session_id: str
    connection: str

    def is_meant_by(self, limit: Limit) -> bool:
        """Whether a ceiling or a budget applies."""
        if limit.connections and self.connection not in limit.connections:
            return False
        if not limit.groups and not limit.principals:
            return True
        principal = self.principal
        # All limits that apply hold, so one more never loosens: they are matched as a rule's denial is, by any name and
        # without case. Else a token that writes an address with a capital would get past.
        names = {name.casefold() for name in (principal.key, principal.subject, principal.email) if name}
        named = any(name.casefold() in names for name in limit.principals)
        return named or bool(set(principal.groups) & set(limit.groups))
