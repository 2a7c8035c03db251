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
        names = {principal.key, principal.subject, principal.email}
        return bool(names & set(limit.principals)) or bool(set(principal.groups) & set(limit.groups))
