"""What is served: the exchanges of recorded sessions. Bodies are read when somebody asks for them.

Nobody keeps the archive open: a gateway that records into the same file would wait.
"""

import contextvars
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hoop_mitm.archive import Archive, Exchange, FlowEntry, JobEntry, SessionEntry, open_archive
from hoop_mitm.archive.opening import file_of
from hoop_mitm.errors import NotInArchive
from hoop_mitm.serving.question import ASKS, Question, question

if TYPE_CHECKING:
    from hoop_mitm.archive import Result

# Bytes of bodies that are kept, and that are read ahead: an agent goes on where it is.
_KEPT, _AHEAD = 128 * 2**20, 4 * 2**20
_UNANSWERED = frozenset({"open", "failed"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One time that a job was asked for: which question, in which exchange. ``place``: among all, from 0."""

    place: int
    question: Question
    flow: FlowEntry
    job: JobEntry | None

    @property
    def label(self) -> str:
        """What a person calls it: its job's number."""
        return f"#{self.job.number}" if self.job else self.flow.id


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded sessions, the first of them in front.

    Attributes:
        flows: all exchanges, in order.
        asks: the jobs that were asked for, in order.
        projects: every one that was asked, and not refused.
    """

    sessions: tuple[SessionEntry, ...]
    flows: tuple[FlowEntry, ...]
    asks: tuple[Ask, ...]
    projects: tuple[str, ...]
    shelf: "Shelf" = field(repr=False)

    @property
    def first(self) -> SessionEntry:
        return self.sessions[0]

    def of_job(self, key: str) -> list[FlowEntry]:
        """The exchanges that touch a job, in order."""
        return self.shelf.by_job.get(key, [])


def load(path: Path, references: Sequence[str]) -> Recorded:
    """The sessions that ``references`` mean, from the archive at ``path``.

    Raises:
        NotInArchive: there is no such session, or nothing in it could be served.
        ArchiveError: the archive cannot be read.
    """
    with open_archive(path) as archive:
        details = [archive.show(archive.find(reference)) for reference in references]
        flows = sorted(
            (flow for detail in details for flow in detail.flows), key=lambda flow: (flow.started_at, flow.id)
        )
        jobs = {job.key: job for detail in details for job in detail.jobs}
        asking = [flow for flow in flows if flow.door in ASKS]
        sent = archive.requests(asking)
        uploads = deque(flow for flow in flows if flow.door == "jobs.upload" and flow.job_key is not None)
    if not flows:
        raise NotInArchive(f"The session {references[0]} has no exchanges with BigQuery, so nothing can be served.")
    return Recorded(
        tuple(detail.session for detail in details),
        tuple(flows),
        tuple(_asks(list(_begun(asking, uploads)), sent, jobs)),
        _projects(flows),
        Shelf(file_of(path), flows),
    )


def project_of(url: str) -> str | None:
    """The project in the path of a REST request."""
    _, found, rest = urlsplit(url).path.partition("/projects/")
    return unquote(rest.partition("/")[0]) if found else None


def _begun(asking: Iterable[FlowEntry], uploads: deque[FlowEntry]) -> Iterator[tuple[FlowEntry, FlowEntry]]:
    """Each exchange that says what is asked, with the one that was answered: an upload in parts ends with another."""
    for flow in asking:
        while uploads and uploads[0].started_at < flow.started_at:
            uploads.popleft()
        in_parts = "uploadType=resumable" in flow.url and flow.verdict.decision != "deny" and uploads
        yield flow, uploads.popleft() if in_parts else flow


def _asks(
    asking: Sequence[tuple[FlowEntry, FlowEntry]], sent: Mapping[str, bytes], jobs: Mapping[str, JobEntry]
) -> list[Ask]:
    read = (
        (answered, question(flow.door or "", project_of(flow.url) or "", sent.get(flow.id)))
        for flow, answered in asking
    )
    found = [(flow, asked) for flow, asked in read if asked is not None]
    answered = {asked.key for flow, asked in found if flow.state not in _UNANSWERED}
    # Nobody knows what came of a request whose answer is lost; one that was asked again is answered by that.
    kept = [(flow, asked) for flow, asked in found if flow.state not in _UNANSWERED or asked.key not in answered]
    return [Ask(place, asked, flow, jobs.get(flow.job_key or "")) for place, (flow, asked) in enumerate(kept)]


def _projects(flows: Sequence[FlowEntry]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for flow in flows:
        if flow.verdict.decision != "deny":
            found |= dict.fromkeys(filter(None, [project_of(flow.url), *(table.project for table in flow.tables)]))
    return tuple(project for project in found if project)


class Shelf:
    """The bodies of recorded exchanges, read from the archive a few at a time, and the last of them kept."""

    def __init__(self, path: Path, flows: Sequence[FlowEntry]) -> None:
        self._path = path
        self._flows = flows
        self._places = {flow.id: place for place, flow in enumerate(flows)}
        self._kept: OrderedDict[tuple[str, str], bytes | None] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        # Threads that answer clients read the recording in the name of who started serving.
        self._context = contextvars.copy_context()
        self.by_job: dict[str, list[FlowEntry]] = {}
        for flow in flows:
            if flow.job_key is not None:
                self.by_job.setdefault(flow.job_key, []).append(flow)

    def request(self, flow: FlowEntry) -> bytes | None:
        """What was sent; ``None`` where it is not in the recording."""
        return self._get("request", flow)

    def answer(self, flow: FlowEntry) -> bytes | None:
        """What was answered; ``None`` where it is not in the recording."""
        return self._get("response", flow)

    def exchange(self, flow: FlowEntry) -> Exchange:
        """An exchange with its headers."""
        return self._asked(lambda archive: archive.exchange(flow))

    def rows(self, job: JobEntry) -> "Result | None":
        """All rows of ``job`` that its client got, by whichever way."""
        return self._asked(lambda archive: archive.rows(job))

    def _get(self, side: str, flow: FlowEntry) -> bytes | None:
        with self._lock:
            if (flow.id, side) not in self._kept:
                self._read(side, flow)
            self._kept.move_to_end((flow.id, side))
            found = self._kept[flow.id, side]
            self._forget(flow.id)
            return found

    def _read(self, side: str, flow: FlowEntry) -> None:
        some = list(self._following(side, flow))
        read = self._asked(lambda archive: (archive.requests if side == "request" else archive.answers)(some))
        for each in some:
            if (each.id, side) not in self._kept:
                self._kept[each.id, side] = read.get(each.id)
                self._size += len(read.get(each.id) or b"")

    def _following(self, side: str, flow: FlowEntry) -> Iterator[FlowEntry]:
        size = 0
        for each in self._flows[self._places[flow.id] :]:
            size += each.request_size if side == "request" else each.response_size
            if each is not flow and size > _AHEAD:
                return
            yield each

    def _forget(self, but: str) -> None:
        while self._size > _KEPT and next(iter(self._kept))[0] != but:
            _, body = self._kept.popitem(last=False)
            self._size -= len(body or b"")

    def _asked[Found](self, ask: Callable[[Archive], Found]) -> Found:
        def opened() -> Found:
            with open_archive(self._path, fold=False) as archive:
                return ask(archive)

        return self._context.copy().run(opened)
