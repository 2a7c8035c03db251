"""One principal's run of one client."""

from dataclasses import dataclass
from datetime import datetime

from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.program import Program

#: The connection of what another program recorded. None of hoop.yaml can be called this.
IMPORTED = "(imported)"


@dataclass(frozen=True, slots=True)
class Session:
    """One principal's run of one client through one connection.

    Attributes:
        id: UUIDv7 in text; also the value of the job label ``hoop-session``.
        name: what the user called it, or one made from principal and agent.
        connection: name of the connection in ``hoop.yaml``.
        agent: the client program as its headers tell it (``python``, ``bq``, ``node``, ``toolbox`` …).
        client_address: IP address that the session was first seen from.
        started_at: aware, UTC.
        program: the process that opened it, when it runs on the gateway's machine. A hint.
    """

    id: str
    name: str
    connection: str
    principal: Principal
    agent: str
    client_address: str
    started_at: datetime
    program: Program | None = None
