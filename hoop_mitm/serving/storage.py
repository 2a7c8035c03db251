"""The Storage Read API out of a recording, over gRPC with TLS."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import grpc
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.archive import FlowEntry
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.devkit.google import Grant
from hoop_mitm.devkit.pki import Certificate
from hoop_mitm.errors import SandboxError
from hoop_mitm.serving.jobs import Job, Jobs, Latency
from hoop_mitm.serving.matching import Miss, Missed
from hoop_mitm.serving.recorded import Recorded
from hoop_mitm.serving.streams import Asked, RecordedSession, cut, made_of
from hoop_mitm.serving.turns import Taken

_READ = "/google.cloud.bigquery.storage.v1.BigQueryRead/"
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_LIFETIME = timedelta(hours=6)

type Rows = Callable[[], Iterator[tuple[int, bytes]]]


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream that was opened here: its rows, and how to tell what they are (the session's schema)."""

    session: Any
    rows: Rows


class Storage:
    """A gRPC server. ``misses`` is told what is not in the recording."""

    def __init__(
        self,
        recorded: Recorded,
        jobs: Jobs,
        grant: Callable[[str | None], Grant | None],
        misses: Callable[[Miss], None],
        *,
        latency: Latency = "none",
    ) -> None:
        self._recorded, self._jobs, self._grant, self._note = recorded, jobs, grant, misses
        self._latency = latency
        self._sessions = [*self._found(recorded.flows)]
        self._streams: dict[str, _Stream] = {}
        self._taken = Taken()
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    def start(self, certificate: Certificate) -> int:
        """Returns the port.

        Raises:
            SandboxError: the server does not come up.
        """
        self._server = grpc.server(ThreadPoolExecutor(32, thread_name_prefix="serve-grpc"), options=_OPTIONS)
        self._server.add_generic_rpc_handlers([_Handlers(self)])
        credentials = grpc.ssl_server_credentials([(certificate.key.read_bytes(), certificate.chain.read_bytes())])
        port: int = self._server.add_secure_port("127.0.0.1:0", credentials)
        if not port:
            raise SandboxError("The Storage API of the recording could not open a port. Try again.")
        self._server.start()
        return port

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(grace=None).wait(5)

    def reset(self) -> None:
        """Begin the recording from its start."""
        self._taken.reset()

    def create(self, request: bytes, context: Any) -> bytes:
        """``CreateReadSession``."""
        asked = types.CreateReadSessionRequest.deserialize(request)
        try:
            return self._create(asked, context)
        except Missed as error:
            self._miss(error.miss, context)
            raise AssertionError("a call that is aborted goes no further") from None

    def read(self, request: bytes, context: Any) -> Iterator[bytes]:
        """``ReadRows``."""
        asked = types.ReadRowsRequest.deserialize(request)
        stream = self._streams.get(asked.read_stream)
        if stream is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {asked.read_stream}")
            return
        place = 0
        for count, message in stream.rows():
            skip = max(asked.offset - place, 0)
            place += count
            if skip < count:
                yield cut(stream.session, message, skip)

    def other(self, method: str, context: Any) -> bytes:
        """Whatever else a client may ask of the Storage API."""
        self._miss(Miss(method, f"The recording is served without {method.rpartition('/')[2]}."), context)
        return b""

    def admit(self, context: Any) -> None:
        """Only the gateway has a token."""
        headers = dict(context.invocation_metadata())
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self._grant(token if scheme.lower() == "bearer" else None) is None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials.")

    def _create(self, request: Any, context: Any) -> bytes:
        asked = Asked.of(request)
        job = self._job(asked.table)
        recorded = self._of_job(job, asked) if job else self._of_table(asked)
        if recorded is None:
            if job is None or asked.data_format != "ARROW" or asked.columns or asked.restriction:
                raise Missed(self._unknown(asked, job))
            return self._from_pages(job, asked.table)
        self._pause(recorded.opened)
        if recorded.opened.grpc_status:
            self._fail(recorded.opened, context)
        if recorded.answer is None or recorded.unread:
            raise Missed(Miss(asked.table, f"What was read of {asked.table} is not all in the recording."))
        return self._opened(
            recorded.answer, request, [_rows_of(recorded, each.name) for each in recorded.answer.streams]
        )

    def _from_pages(self, job: Job, table: str) -> bytes:
        """A result that the recorded client had read as pages."""
        entry = job.story.job
        result = self._recorded.shelf.rows(entry) if entry else None
        if result is None or not result.complete:
            raise Missed(Miss(table, f"The recorded client had not read all rows of {job.story.ask.label}."))
        session, sent = made_of(result, table)
        request = types.CreateReadSessionRequest(max_stream_count=1)
        return self._opened(session, request, [lambda: iter(sent)])

    def _opened(self, answer: Any, request: Any, rows: Sequence[Rows]) -> bytes:
        """The session under a name of its own, with no more streams than were asked for."""
        session = types.ReadSession.deserialize(types.ReadSession.serialize(answer))
        project = request.parent.removeprefix("projects/") or session.table.split("/")[1]
        session.name = f"projects/{project}/locations/us/sessions/{secrets.token_urlsafe(18)}"
        session.table = request.read_session.table or session.table
        session.expire_time = datetime.now(UTC) + _LIFETIME
        names = [f"{session.name}/streams/{secrets.token_urlsafe(12)}" for _ in _dealt(rows, request.max_stream_count)]
        session.streams = [types.ReadStream(name=name) for name in names]
        with self._lock:
            for name, some in zip(names, _dealt(rows, request.max_stream_count), strict=True):
                self._streams[name] = _Stream(answer, _in_a_row(some))
        return bytes(types.ReadSession.serialize(session))

    def _found(self, flows: Sequence[FlowEntry]) -> Iterator[RecordedSession]:
        reads: dict[str | None, list[FlowEntry]] = {}
        for flow in flows:
            if flow.door == "storage.ReadRows" and flow.state in ("complete", "truncated"):
                reads.setdefault(flow.job_key, []).append(flow)
        for flow in flows:
            if flow.door == "storage.CreateReadSession":
                yield RecordedSession(self._recorded.shelf, flow, reads.get(flow.job_key, ()))

    def _job(self, table: str) -> Job | None:
        match table.split("/"):
            case ["projects", project, "datasets", dataset, "tables", name]:
                return self._jobs.of_result(TableRef(unquote(project), unquote(dataset), unquote(name)))
        return None

    def _of_job(self, job: Job, asked: Asked) -> RecordedSession | None:
        key = job.story.ask.flow.job_key
        found = [
            each
            for each in self._sessions
            if each.opened.job_key == key
            and each.asked
            and _alike(each.asked, asked)
            and each.answer
            and not each.unread
        ]
        return found[0] if found else None

    def _of_table(self, asked: Asked) -> RecordedSession | None:
        found = [
            each
            for each in self._sessions
            if each.opened.job_key is None
            and each.asked
            and each.asked.table == asked.table
            and _alike(each.asked, asked)
        ]
        return self._taken.next(asked, found) if found else None

    def _unknown(self, asked: Asked, job: Job | None) -> Miss:
        if job is not None:
            return Miss(asked.table, f"The rows of {job.story.ask.label} were not read like this.")
        same = [each.asked for each in self._sessions if each.asked and each.asked.table == asked.table]
        if not same:
            return Miss(asked.table, f"The recording has no read of {asked.table}.")
        was = same[0]
        differing = [
            f"{name}: {getattr(was, name) or 'none'} was recorded, {getattr(asked, name) or 'none'} is asked"
            for name in ("data_format", "columns", "restriction")
            if getattr(was, name) != getattr(asked, name)
        ]
        return Miss(asked.table, f"The recording has {asked.table} read otherwise; {'; '.join(differing)}.")

    def _fail(self, flow: FlowEntry, context: Any) -> None:
        headers = dict(self._recorded.shelf.exchange(flow).response_headers)
        message = unquote(headers.get("grpc-message", "")) or flow.verdict.message
        context.abort(_CODES.get(flow.grpc_status or 0, grpc.StatusCode.UNKNOWN), message)

    def _miss(self, miss: Miss, context: Any) -> None:
        self._note(miss)
        context.abort(grpc.StatusCode.NOT_FOUND, f"hoop-mitm serve: {miss.message} Nothing was sent to BigQuery.")

    def _pause(self, flow: FlowEntry) -> None:
        if self._latency == "recorded" and (length := flow.duration):
            time.sleep(length.total_seconds())


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types.
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def service(self, handler_call_details: Any) -> Any:
        storage, method = self._storage, handler_call_details.method

        def unary(request: bytes, context: Any) -> bytes:
            storage.admit(context)
            if method == f"{_READ}CreateReadSession":
                return storage.create(request, context)
            return storage.other(method, context)

        def stream(request: bytes, context: Any) -> Iterator[bytes]:
            storage.admit(context)
            yield from storage.read(request, context)

        if method == f"{_READ}ReadRows":
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def _alike(one: Asked, other: Asked) -> bool:
    return (one.data_format, one.columns, one.restriction) == (other.data_format, other.columns, other.restriction)


def _rows_of(session: RecordedSession, name: str) -> Rows:
    return lambda: session.rows(name)


def _dealt(rows: Sequence[Rows], most: int) -> list[Sequence[Rows]]:
    """Streams dealt out to at most ``most`` of them; none asks for as many as there are."""
    places = min(len(rows), most or len(rows))
    return [rows[place::places] for place in range(places)]


def _in_a_row(several: Sequence[Rows]) -> Rows:
    return lambda: (each for rows in several for each in rows())
