"""From an exchange that was heard to a record as the gateway itself makes them."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from hoop_mitm import bigquery
from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.errors import Denied
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import IMPORTED, Session
from hoop_mitm.importing.mitm import Fields, Heard
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording.records import FlowRecord, FlowState, Message
from hoop_mitm.recording.redaction import SECRET_HEADERS, SECRET_PARAMETERS

#: Nobody was asked who it was.
NOBODY = Principal(IMPORTED, "unknown")
_IMPORTED = Verdict("allow", "imported")
_GRPC_STATUS = "grpc-status"
_LARGEST_STATUS = 2**15


def is_ours(heard: Heard) -> bool:
    """Whether it is with BigQuery. (What tokens are got with is never recorded.)"""
    return bigquery.is_bigquery_host(heard.host)


def secrets_of(heard: Heard) -> Iterator[str]:
    """Values that must not be recorded, wherever they stand."""
    for name, value in (*heard.request_headers, *heard.response_headers):
        if name in SECRET_HEADERS:
            # The scheme is no secret, and what comes with the value alone must be found too.
            yield value.partition(" ")[2] or value
    for name, value in parse_qsl(urlsplit(heard.path).query):
        if name.lower() in SECRET_PARAMETERS:
            yield value


@dataclass(slots=True)
class Sessions:
    """The sessions that a file comes to: one for each client program.

    Attributes:
        source: the file's digest; from it come all ids, so that they are the same each time.
        name: what they are called.
    """

    source: str
    name: str
    _sessions: dict[str, Session] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Session, ...]:
        return tuple(self._sessions.values())

    def of(self, heard: Heard) -> tuple[Session, bool]:
        """The session of an exchange, and whether it is new."""
        agent = bigquery.agent_name(dict(heard.request_headers))
        if agent in self._sessions:
            return self._sessions[agent], False
        made = self._sessions[agent] = Session(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.source}/{agent}")),
            name=self.name,
            connection=IMPORTED,
            principal=NOBODY,
            agent=agent,
            client_address=heard.client_address,
            started_at=heard.started_at,
        )
        return made, True


def record(heard: Heard, session: Session, number: int) -> FlowRecord:
    """The record of the exchange with this number in its file."""
    state: FlowState = "failed" if heard.status is None else "truncated" if heard.error else "complete"
    return FlowRecord(
        id=_id(heard, session, number),
        state=state,
        session=session,
        operation=_operation(heard),
        verdict=_IMPORTED,
        method=heard.method,
        host=heard.host,
        url=f"https://{heard.host}{heard.path}",
        user_agent=dict(heard.request_headers).get("user-agent", ""),
        client_address=heard.client_address,
        request=_message(heard.request_headers, heard.request_body),
        response=_message(heard.response_headers, heard.response_body),
        started_at=heard.started_at,
        ended_at=heard.ended_at,
        status=heard.status if heard.status is None or abs(heard.status) < _LARGEST_STATUS else None,
        grpc_status=_grpc_status(heard.response_headers),
        error=heard.error or (None if heard.status is not None else "No answer is recorded."),
        http_version=heard.http_version,
    )


def _operation(heard: Heard) -> Operation | None:
    """What was asked; ``None`` where that cannot be told."""
    headers = dict(heard.request_headers)
    path, _, query = heard.path.partition("?")
    try:
        door = bigquery.find(heard.host, bigquery.effective_method(heard.method, headers), heard.path)
        if door is None:
            return None
        return bigquery.read(
            door,
            path=path,
            # The gateway takes credentials off before it reads; here they are still on.
            query=[
                pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0].lower() not in SECRET_PARAMETERS
            ],
            headers=headers,
            body=None if door.streams_request else heard.request_body or b"",
        )
    except Denied:
        return None


def _message(headers: Fields, body: bytes | None) -> Message:
    return Message(headers, body, size=len(body or b""))


def _grpc_status(headers: Fields) -> int | None:
    text = dict(headers).get(_GRPC_STATUS, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) < _LARGEST_STATUS else None


def _id(heard: Heard, session: Session, number: int) -> str:
    """A UUID of version 7, in the order of the exchanges' beginnings, the same again for the same file."""
    told = hashlib.sha256(f"{session.id}/{number}".encode()).digest()
    milliseconds = max(0, int(heard.started_at.timestamp() * 1000)) & (2**48 - 1)
    bits = milliseconds << 80 | int.from_bytes(told[:10])
    bits = bits & ~(0xF << 76) | 7 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=bits))
