"""What is written: the records of the journal.

A record is complete in itself: the archive can be rebuilt from records alone. The gateway makes them,
the journal keeps them, the fold turns them into tables.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.verdict import Verdict

type FlowState = Literal["open", "complete", "refused", "held", "truncated", "failed"]
type Level = Literal["full", "statements", "metadata", "off"]


@dataclass(frozen=True, slots=True)
class Message:
    """One direction of an exchange.

    Attributes:
        headers: names in lower case, in order, as on the wire. The recorder redacts them.
        body: the whole body as on the wire (``content-encoding`` still on), or ``None`` where it was spooled
            (``spool``) or not recorded. The recorder decodes and redacts it, off the event loop.
        spool: id of the spool that holds the body of a streamed message.
        size: length on the wire in bytes, before decoding.
    """

    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    spool: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """One HTTP exchange or gRPC call.

    The same ``id`` is written twice for a statement: ``open`` (the intent, before it is forwarded) and then
    with its outcome; the later one replaces the earlier.

    Attributes:
        id: UUIDv7 in text.
        state: ``open``; ``complete`` (answered by BigQuery); ``refused`` (answered by us);
            ``held`` (answered by us for a job that waits for a review, or that a review has ended);
            ``truncated`` (a stream that broke); ``failed`` (no answer from BigQuery).
        session: the session, or ``None`` when nobody was identified.
        operation: ``None`` when the request was refused before it was understood.
        url: without secrets.
        policy: version of the policy that the verdict was given under; ``""`` where none was asked.
        program: the client's, with its parents, where it is known; its session tells more of the one that opened it.
        status: HTTP status sent to the client; for gRPC see ``grpc_status``.
    """

    id: str
    state: FlowState
    session: Session | None
    operation: Operation | None
    verdict: Verdict
    method: str
    host: str
    url: str
    user_agent: str
    client_address: str
    request: Message
    response: Message
    started_at: datetime
    ended_at: datetime | None = None
    status: int | None = None
    grpc_status: int | None = None
    executed_statement: str | None = None
    error: str | None = None
    level: Level = "full"
    http_version: str = ""
    policy: str = ""
    program: str | None = None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something an auditor would ask about that is no exchange with BigQuery.

    ``type`` is a short stable word (``identity.refused``, ``tunnel.refused``, ``gateway.started``,
    ``gateway.option_refused``, ``session.started`` …); ``details`` holds plain JSON values, never a secret.
    """

    id: str
    at: datetime
    type: str
    message: str
    session_id: str | None = None
    principal: Principal | None = None
    flow_id: str | None = None
    client_address: str = ""
    details: dict[str, object] = field(default_factory=dict)


type Record = Session | FlowRecord | EventRecord
