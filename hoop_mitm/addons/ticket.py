"""What is known of a flow on its way through the addons."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakKeyDictionary

from mitmproxy import http

from hoop_mitm.bigquery import Door, Operation, Resource
from hoop_mitm.config.model import Connection
from hoop_mitm.credentials import AccessToken
from hoop_mitm.identity import Identified, Principal, Program, Session
from hoop_mitm.policy import Estimate, Ruling, Verdict
from hoop_mitm.policy.cost import Admission
from hoop_mitm.recording import EventRecord, Owner, Spool
from hoop_mitm.sql import StatementFacts


@dataclass(slots=True)
class Ticket:
    """One flow's facts and stamps.

    A flow leaves for Google only with a stamp of every stage. Stages write facts here rather than on the flow, because
    anything on the flow is sent.

    Attributes:
        flow_id: UUIDv7 in text; the id of its record.
        url: as the client sent it, without credentials.
        bearer / proxy_bearer: what the client identified itself with; taken off the request before anything else.
        endpoint: the Host under which the client reached the endpoint; empty for one that came by the proxy.
        early: the request's body is streamed, so every stage runs at its headers.
        stamps: names of the stages that said yes.
        program: the client's, where it is known. A hint.
        known_as: whose token it was that was good once and is refused now.
        facts: of the operation's statement; ``None`` where it has none, or nobody has asked yet.
        estimate: of what it would cost; ``None`` while nobody needed to know.
        admission: how far it may cost something; ``None`` where no ceiling or budget applies.
        is_estimate_told: the event ``cost.estimated`` is recorded, or about to be.
        notes: events that are recorded with the next record of this flow.
        ruling: what the policy said last; ``None`` while it was not asked.
        verdict: set by whoever refused; ``None`` while nobody has.
        answered: the answer is ours by design (token exchange), not a refusal and not Google's.
        sealed: what of the request was understood, to be compared with what is about to leave.
        forwarded: it has left for Google.
        answer: Google's answer, kept off the flow until the guard lets it go.
    """

    flow_id: str
    started_at: datetime
    host: str
    method: str
    url: str
    user_agent: str
    client_address: str
    headers: tuple[tuple[str, str], ...]
    endpoint: str = ""
    bearer: str | None = field(default=None, repr=False)
    proxy_bearer: str | None = field(default=None, repr=False)
    early: bool = False
    stamps: set[str] = field(default_factory=set)
    verdict: Verdict | None = None
    error: str | None = None
    answered: bool = False
    identified: Identified | None = None
    known_as: Principal | None = None
    connection: Connection | None = None
    program: Program | None = None
    session: Session | None = None
    session_is_new: bool = False
    door: Door | None = None
    operation: Operation | None = None
    facts: StatementFacts | None = None
    estimate: Estimate | None = None
    admission: Admission | None = None
    is_estimate_told: bool = False
    notes: list[EventRecord] = field(default_factory=list)
    ruling: Ruling | None = None
    request_body: bytes | None = None
    credential: AccessToken | None = field(default=None, repr=False)
    sealed: tuple[object, ...] = field(default=(), repr=False)
    intent: bool = False
    forwarded: bool = False
    answer: http.Response | None = None
    recorded: bool = False
    request_spool: Spool | None = None
    response_spool: Spool | None = None
    owns: dict[Resource, Owner] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether it is answered by us after a decision: refused, or held for a review. It goes nowhere then."""
        return self.verdict is not None and self.verdict.decision != "allow"


def seal(request: http.Request) -> tuple[object, ...]:
    """Everything of a request that reaches Google, for comparison. Cheap: bytes that were not replaced compare as the same object."""
    data = request.data
    return data.method, data.scheme, data.host, data.port, data.path, data.authority, data.headers.fields, data.content


class Tickets:
    """Tickets by flow. One goes when its flow does."""

    def __init__(self) -> None:
        self._by_flow: WeakKeyDictionary[http.HTTPFlow, Ticket] = WeakKeyDictionary()

    def put(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        self._by_flow[flow] = ticket

    def of(self, flow: http.HTTPFlow) -> Ticket | None:
        return self._by_flow.get(flow)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(list(self._by_flow.values()))
