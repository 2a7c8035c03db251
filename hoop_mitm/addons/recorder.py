"""Every exchange, before the client has its answer."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote

from mitmproxy import ctx, http

from hoop_mitm.addons.abort import abort
from hoop_mitm.addons.answers import UNCHECKED
from hoop_mitm.addons.cost import estimated
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.stage import Stage
from hoop_mitm.addons.ticket import Ticket
from hoop_mitm.errors import IdentityError, RecordingError
from hoop_mitm.policy import Verdict
from hoop_mitm.recording import FlowRecord, Message, Record, Spool
from hoop_mitm.recording.preparing import is_kept
from hoop_mitm.recording.records import FlowState

logger = logging.getLogger(__name__)

OK = 200

LARGE = 1 << 20
"""Bytes. A page of rows above this, or of unknown length, is passed on as it comes."""

PAGES = frozenset({"jobs.getQueryResults", "tabledata.list"})
"""REST answers that may be large, and from which the gateway itself needs nothing."""

ALLOW = Verdict("allow", "default")

HELD_BACK = Verdict("deny", "internal.held_back", UNCHECKED)
"""Nobody refused it, and it was answered with a refusal all the same: a hook failed, or the request was changed after it
was understood, and the guard did not let it go. So it says who notices, because a guard that failed notices nothing."""

NOTABLE = (
    "identity.",
    "carrier.",
    "route.",
    "door.",
    "ownership.",
    "policy.",
    "ceiling.",
    "budget.",
    "cost.",
    "internal",
)
"""Rules whose refusals are events as well: an auditor asks for them without asking for a session."""

IDLE_SWEEP = 30.0
"""Seconds between two looks for sessions that went idle."""


class Recorder(Stage):
    """Journals the intent before a request that does something leaves, and the exchange before its answer is released.

    What cannot be recorded is not served: without a durable intent nothing is forwarded, and an answer whose record
    failed is replaced (or its connection closed, when it had begun). With ``recording.ack: async`` an answer does not
    wait for its record; then nothing that comes after a record that failed is served before that is recorded.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._sweeper: asyncio.Task[None] | None = None

    async def running(self) -> None:
        try:
            await self.services.start()
        except RecordingError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message says it all
            ctx.master.shutdown()
            return
        self._sweeper = asyncio.create_task(self._sweep())

    async def done(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()
            await self.services.backlog.drain()
            await self.services.stop()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SWEEP)
            # Not recorded now means recorded with the next sweep's sessions, or at the end.
            with contextlib.suppress(RecordingError):
                await self.services.end_sessions(self.services.sessions.expired())

    async def decide(self, flow: http.HTTPFlow, ticket: Ticket) -> None:
        assert ticket.operation
        if self.services.backlog.has_lost:
            await self.services.backlog.tell(
                self.services.event_record("recording.lost", "Answers were given whose records could not be written.")
            )
        if not self.services.recorder.healthy:
            raise RecordingError(
                "hoop-mitm cannot write its journal just now, so it forwards nothing. Ask the gateway's owner; "
                "the usual reason is a full disk."
            )
        if ticket.operation.statement is not None or flow.request.method not in ("GET", "HEAD"):
            ticket.intent = True
            await self._write(flow, ticket, "open")
        if ticket.early:
            ticket.request_spool = self.services.recorder.spool(
                ticket.flow_id, "request", ticket.headers, kept=_keeps_bodies(ticket)
            )

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if not (ticket and ticket.forwarded and ticket.door and flow.response and flow.response.status_code == OK):
            return
        if not (ticket.door.streams_response or (ticket.door.name in PAGES and _is_large(flow.response))):
            return
        if not ticket.intent:
            # From the first row on it is known whose rows these are, also if the end of them is never recorded.
            ticket.intent = True
            await self._write(flow, ticket, "open")
        ticket.response_spool = self.services.recorder.spool(
            ticket.flow_id,
            "response",
            list(flow.response.headers.items(multi=True)),
            kept=_keeps_bodies(ticket),
        )
        flow.response.stream = tap(self.services, flow, ticket, ticket.response_spool)
        if flow.client_conn.alpn != b"h2" and flow.response.headers.pop("content-length", None) is not None:
            # With a length the client would have its answer before the record is durable; chunked, the end waits for it.
            flow.response.headers["transfer-encoding"] = "chunked"

    async def response(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if ticket is None or ticket.answered or ticket.recorded:
            return
        self._close_spools(ticket)
        state: FlowState = "complete" if ticket.forwarded else _unsent(ticket)
        if state == "refused" and ticket.verdict is None:
            ticket.verdict = HELD_BACK
        if self.services.config.recording.ack == "async":
            await self._write_later(flow, ticket, state)
        else:
            await self._write(flow, ticket, state)
        ticket.recorded = True
        logger.info(
            "%s %s %s %s",
            ticket.identified.principal if ticket.identified else ticket.client_address,
            ticket.door.name if ticket.door else f"{ticket.method} {ticket.host}",
            ticket.verdict.rule if ticket.verdict else "ok",
            answer.status_code if (answer := ticket.answer or flow.response) else "-",
        )

    async def error(self, flow: http.HTTPFlow) -> None:
        ticket = self.services.tickets.of(flow)
        if ticket is None or ticket.answered or ticket.recorded:
            return
        self._close_spools(ticket)
        ticket.error = ticket.error or (flow.error.msg if flow.error else None)
        state: FlowState = "truncated" if ticket.response_spool else _unsent(ticket) if ticket.refused else "failed"
        await self._write(flow, ticket, state)
        ticket.recorded = True

    async def _write(self, flow: http.HTTPFlow, ticket: Ticket, state: FlowState) -> None:
        await self.services.recorder.write(*self._records(flow, ticket, state), owns=ticket.owns)
        ticket.session_is_new = False

    async def _write_later(self, flow: http.HTTPFlow, ticket: Ticket, state: FlowState) -> None:
        records = self._records(flow, ticket, state)
        ticket.session_is_new = False
        answer = ticket.answer or flow.response
        size = len(ticket.request_body or b"") + len((answer and answer.raw_content) or b"")
        await self.services.backlog.put(ticket.flow_id, records, ticket.owns, size)

    def _records(self, flow: http.HTTPFlow, ticket: Ticket, state: FlowState) -> list[Record]:
        """The record of a flow, after what has to be told with it."""
        extra: list[Record] = []
        if ticket.session and ticket.session_is_new:
            extra.append(ticket.session)
        if ticket.verdict and ticket.verdict.decision == "deny" and ticket.verdict.rule.startswith(NOTABLE):
            extra.append(
                self.services.event_record(
                    "identity.refused" if ticket.verdict.rule.startswith("identity.") else "request.refused",
                    ticket.verdict.message,
                    client_address=ticket.client_address,
                    principal=ticket.identified.principal if ticket.identified else ticket.known_as,
                    session_id=ticket.session.id if ticket.session else None,
                    flow_id=ticket.flow_id,
                    details={
                        "rule": ticket.verdict.rule,
                        "reason": ticket.verdict.rule.partition(".")[2],
                        "method": ticket.method,
                        "host": ticket.host,
                    },
                )
            )
        record = flow_record(flow, ticket, state)
        if is_kept(record):
            # Of what is not recorded nothing is told either. What is held back here may be told with a later record.
            if note := estimated(self.services, ticket):
                extra.append(note)
            extra += ticket.notes
            ticket.notes = []
        return [*extra, record]

    @staticmethod
    def _close_spools(ticket: Ticket) -> None:
        for spool in (ticket.request_spool, ticket.response_spool):
            if spool:
                spool.close()


def _unsent(ticket: Ticket) -> FlowState:
    return "held" if ticket.verdict and ticket.verdict.decision == "review" else "refused"


def tap(
    services: Services, flow: http.HTTPFlow, ticket: Ticket, spool: Spool
) -> Callable[[bytes], bytes | list[bytes]]:
    """A stream that is written before it is passed on. When it cannot be written, or whoever asked for it is no longer
    welcome, both its ends are cut."""

    def pass_on(chunk: bytes) -> bytes | list[bytes]:
        # An empty list sends nothing; empty bytes would end a chunked message as if it were whole.
        if ticket.error:
            return []
        if ticket.recorded and flow.server_conn.alpn == b"h2":
            # A request that was answered before its end: nobody takes the rest. Over HTTP/1.1 what is missing of it would
            # be the beginning of the next request, and it is cut off.
            return []
        try:
            services.check_still_welcome(ticket)
            spool.write(chunk)
        except (RecordingError, IdentityError) as error:
            ticket.error = str(error)
            logger.warning("A stream was cut off: %s", error)
            abort(flow.client_conn, flow.server_conn)
            return []
        return chunk

    return pass_on


def flow_record(flow: http.HTTPFlow, ticket: Ticket, state: FlowState) -> FlowRecord:
    """The record of a flow as it stands: what the client sent, and what it is about to get."""
    response = (ticket.answer or flow.response) if state != "open" else None
    ended = state != "open"
    return FlowRecord(
        id=ticket.flow_id,
        state=state,
        session=ticket.session,
        operation=ticket.operation,
        verdict=ticket.verdict or (ticket.ruling.verdict if ticket.ruling else ALLOW),
        policy=ticket.ruling.policy if ticket.ruling else "",
        method=ticket.method,
        host=ticket.host,
        url=ticket.url,
        user_agent=ticket.user_agent,
        client_address=ticket.client_address,
        program=str(ticket.program) if ticket.program else None,
        request=Message(
            headers=ticket.headers,
            body=ticket.request_body,
            spool=ticket.request_spool.id if ticket.request_spool else None,
            size=ticket.request_spool.size if ticket.request_spool else len(ticket.request_body or b""),
        ),
        response=Message(
            headers=_fields(response.headers, response.trailers) if response else (),
            body=response.raw_content if response and not ticket.response_spool else None,
            spool=ticket.response_spool.id if ended and ticket.response_spool else None,
            size=ticket.response_spool.size
            if ticket.response_spool
            else len(response.raw_content or b"")
            if response
            else 0,
        ),
        started_at=ticket.started_at,
        ended_at=datetime.now(UTC) if ended else None,
        status=response.status_code if response else None,
        grpc_status=_grpc_status(response) if response else None,
        executed_statement=None,
        error=ticket.error,
        level=ticket.connection.recording if ticket.connection else "full",
        http_version=flow.request.http_version,
    )


def _keeps_bodies(ticket: Ticket) -> bool:
    return ticket.connection is None or ticket.connection.recording == "full"


def _fields(*parts: http.Headers | None) -> tuple[tuple[str, str], ...]:
    """Headers, and behind them the trailers, in which gRPC says how a call ended."""
    return tuple((name.lower(), value) for part in parts if part for name, value in part.items(multi=True))


def _grpc_status(response: http.Response) -> int | None:
    for headers in (response.trailers, response.headers):
        if headers and (status := headers.get("grpc-status")) and unquote(status).isdigit():
            return int(status)
    return None


def _is_large(response: http.Response) -> bool:
    length = response.headers.get("content-length", "")
    return not length.isdigit() or int(length) > LARGE
