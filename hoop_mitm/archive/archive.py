"""The open archive: its sessions, and what happened in each."""

import re
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hoop_mitm.archive import bodies, results, search, stored
from hoop_mitm.archive.database import Database
from hoop_mitm.archive.entries import Exchange, FlowEntry, JobEntry, SessionDetail, SessionEntry
from hoop_mitm.archive.following import Follower, News
from hoop_mitm.archive.ledger import Ledger
from hoop_mitm.archive.looking import Looking
from hoop_mitm.archive.noted import NotedLedger
from hoop_mitm.archive.query import Cursor, Query
from hoop_mitm.errors import NotInArchive

if TYPE_CHECKING:
    from hoop_mitm.archive.comparing.landing import Landing
    from hoop_mitm.archive.results import Result

_SHORTEST_ID = 8

_WHICH_SESSIONS = """
    SELECT id FROM sessions
    ORDER BY started_at DESC, id DESC
    LIMIT ?
"""

_IDS_BY_REFERENCE = """
    SELECT id, name, epoch_us(started_at)
    FROM sessions
    WHERE {condition}
    ORDER BY started_at DESC, id DESC
"""

_SIDE = "SELECT id, {side}_body FROM flows WHERE id IN (SELECT unnest(?)) AND {side}_body IS NOT NULL"

_EXCHANGES = """
    SELECT id, request_headers, response_headers, request_body, response_body
    FROM flows
    WHERE id IN (SELECT unnest(?))
"""

# Bodies are looked up together, since each look-up goes through all hashes; but not more of them than this.
_FLOWS_AT_ONCE, _BYTES_AT_ONCE = 200, 8 * 2**20


class Archive:
    """A recording, open for reading. Use it as a context manager, and not for long: the gateway's fold waits.

    Of one that is shared, nothing is given before a note is left of who looks (``looking``); everything here raises
    ``ArchiveError`` where that is not possible.

    Attributes:
        path: the file.
        pending: records that lie in the journal and are not in the file yet; ``None`` when the journal cannot be read.
    """

    def __init__(self, database: Database, pending: int | None = 0) -> None:
        self._looking = Looking(database.path)
        self.path = database.path
        self.pending = pending
        self._database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def sessions(self, limit: int | None = None) -> tuple[SessionEntry, ...]:
        """The newest ``limit`` sessions (all, when ``None``), newest first."""
        newest = self._database.all(_WHICH_SESSIONS, [2**62 if limit is None else limit])
        self._looking.at([row[0] for row in newest])
        return stored.sessions(self._database, [row[0] for row in newest])

    def short_ids(self) -> dict[str, str]:
        """For each session's id the shortest beginning that no other has, of at least 8 characters."""
        self._looking.at()
        ids = [row[0] for row in self._database.all("SELECT id FROM sessions ORDER BY id")]
        short: dict[str, str] = {}
        for before, id, after in zip(["", *ids], ids, [*ids[1:], ""], strict=False):  # noqa: A001
            shared = max(_shared(id, other) for other in (before, after))
            short[id] = id[: max(_SHORTEST_ID, shared + 1)].rstrip("-")
        return short

    def find(self, reference: str) -> SessionEntry:
        """The session that ``reference`` means.

        An id, the start of one that no other id has, a name, ``@last``, ``@last~N`` (the N-th before the last),
        or ``NAME~N`` (the N-th before the last of that name).

        Raises:
            NotInArchive: it means none, or more than one; the message lists what it could mean.
        """
        base, back = _split(reference)
        if base == "@last":
            matches = self._database.all(_IDS_BY_REFERENCE.format(condition="true"))
            return self._nth(matches, back or 0, reference, of="")
        exact = self._database.all(_IDS_BY_REFERENCE.format(condition="id = ?"), [reference])
        if exact:
            return self._session(exact[0][0])
        named = self._database.all(_IDS_BY_REFERENCE.format(condition="name = ?"), [reference])
        if not named and back is not None:
            named = self._database.all(_IDS_BY_REFERENCE.format(condition="name = ?"), [base])
            if named:
                return self._nth(named, back, reference, of=f" named {base}")
        prefixed = self._database.all(_IDS_BY_REFERENCE.format(condition="starts_with(id, lower(?))"), [reference])
        matches = named or (prefixed if reference else [])
        if len(matches) == 1:
            return self._session(matches[0][0])
        if not matches:
            raise self._unknown(reference)
        self._looking.at([match[0] for match in matches])
        raise _ambiguous(reference, matches, named=bool(named))

    def show(self, session: SessionEntry) -> SessionDetail:
        """Everything that happened in ``session``, in order."""
        self._looking.at([session.id])
        return SessionDetail(
            session,
            stored.jobs(self._database, [session.id]),
            stored.flows_of(self._database, session.id),
            stored.events_of(self._database, session.id),
        )

    def search(self, query: Query, *, limit: int = 50, before: Cursor | None = None) -> search.Page:
        """Up to ``limit`` jobs, exchanges and events that ``query`` asks for, newest first, after the place ``before``."""
        page = search.find(self._database, query, limit, before)
        self._looking.at(_sessions_of(page.hits), about=str(query))
        return page

    def follow(self, follower: Follower, last: int) -> tuple[News, ...]:
        """The last ``last`` things that ``follower`` looks for; :meth:`news`, of this archive opened again, goes on."""
        news = follower.begin(self._database, last)
        self._looking.at(_sessions_of(each.hit for each in news), about=str(follower.query))
        return news

    def news(self, follower: Follower) -> tuple[News, ...]:
        """What has come since ``follower`` looked last."""
        news = follower.look(self._database)
        self._looking.at(_sessions_of(each.hit for each in news))
        return news

    @property
    def ledger(self) -> Ledger:
        """The jobs of all sessions, as reconciliation compares them with BigQuery's list."""
        return NotedLedger(self._database, self._looking)

    def landing(self, session: SessionEntry) -> "Landing":
        """Puts results of ``session`` where they can be compared."""
        from hoop_mitm.archive.comparing.landing import Landing

        self._looking.at([session.id])
        return Landing(self._database, session.id)

    def rows(self, job: JobEntry, limit: int | None = None) -> "Result | None":
        """The rows of ``job`` that the client got, from REST pages or Storage streams.

        ``None`` when it got none that were recorded. With ``limit`` the result holds no more rows than that.
        """
        self._looking.at()
        return results.of_job(self._database, job, limit)

    def rows_of_flow(self, flow: FlowEntry, limit: int | None = None) -> "Result | None":
        """The rows that one exchange brought, also of a table that was read without a job; as ``rows``."""
        self._looking.at()
        return results.of_flow(self._database, flow, limit)

    def exchange(self, flow: FlowEntry) -> Exchange:
        """What went over the wire for ``flow``, decoded and redacted."""
        return next(self.exchanges([flow]))

    def exchanges(self, flows: Iterable[FlowEntry]) -> Iterator[Exchange]:
        """What went over the wire for each of ``flows``, in their order; a few bodies at a time are held in memory."""
        self._looking.at()
        for some in _by_size(flows):
            rows = {row[0]: row[1:] for row in self._database.all(_EXCHANGES, [[flow.id for flow in some]])}
            wanted = {digest for row in rows.values() for digest in row[2:] if digest is not None}
            read = bodies.read_all(self._database, list(wanted))
            for flow in some:
                request_headers, response_headers, request, response = rows[flow.id]
                yield Exchange(
                    flow,
                    bodies.headers(request_headers),
                    bodies.headers(response_headers),
                    read.get(request),
                    read.get(response),
                )

    def requests(self, flows: Iterable[FlowEntry]) -> dict[str, bytes]:
        """What was sent in ``flows``, by their ids, decoded and redacted; those of which nothing is kept are left out."""
        return self._side("request", flows)

    def answers(self, flows: Iterable[FlowEntry]) -> dict[str, bytes]:
        """What was answered to ``flows``, as ``requests``. All of it is held in memory."""
        return self._side("response", flows)

    def _side(self, side: str, flows: Iterable[FlowEntry]) -> dict[str, bytes]:
        self._looking.at()
        hashes = dict(self._database.all(_SIDE.format(side=side), [[flow.id for flow in flows]]))
        read = bodies.read_all(self._database, list(set(hashes.values())))
        return {id: read[hash] for id, hash in hashes.items() if hash in read}  # noqa: A001

    def _session(self, id: str) -> SessionEntry:  # noqa: A002
        self._looking.at([id])
        return stored.sessions(self._database, [id])[0]

    def _nth(self, matches: Sequence[tuple[Any, ...]], back: int, reference: str, *, of: str) -> SessionEntry:
        if back < len(matches):
            return self._session(matches[back][0])
        if not matches:
            raise self._unknown(reference)
        many = "only one session" if len(matches) == 1 else f"only {len(matches)} sessions"
        raise NotInArchive(
            f"{reference} does not exist: {self.path} holds {many}{of}. `hoop-mitm sessions` lists them."
        )

    def _unknown(self, reference: str) -> NotInArchive:
        if not self._database.all("SELECT 1 FROM sessions LIMIT 1"):
            return NotInArchive(
                f"{self.path} holds no session yet. Run a client through the gateway first, for example with "
                "`hoop-mitm sandbox -- python client.py`."
            )
        return NotInArchive(
            f"No session in {self.path} has the id, the beginning of an id, or the name {reference!r}. "
            "`hoop-mitm sessions` lists them."
        )


def _sessions_of(hits: Iterable[search.Hit]) -> list[str]:
    return [hit.session.id for hit in hits if hit.session is not None]


def _by_size(flows: Iterable[FlowEntry]) -> Iterator[list[FlowEntry]]:
    some: list[FlowEntry] = []
    size = 0
    for flow in flows:
        size += flow.request_size + flow.response_size
        if some and (len(some) == _FLOWS_AT_ONCE or size > _BYTES_AT_ONCE):
            yield some
            some, size = [], flow.request_size + flow.response_size
        some.append(flow)
    if some:
        yield some


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _split(reference: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.+)~(\d{1,9})", reference)
    return (match[1], int(match[2])) if match else (reference, None)


_SHOWN_CANDIDATES = 5


def _ambiguous(reference: str, matches: Sequence[tuple[Any, ...]], *, named: bool) -> NotInArchive:
    lines = [
        f"  {found}  {name!r}  started {stored.time(at):%Y-%m-%d %H:%M:%S} UTC"
        for found, name, at in matches[:_SHOWN_CANDIDATES]
    ]
    if len(matches) > len(lines):
        lines.append(f"  … and {len(matches) - len(lines)} more")
    what = f"the name {reference!r}" if named else f"an id that begins with {reference!r}"
    hint = f"Name one by its id; {reference}~0 is the newest." if named else "Give more of the id."
    return NotInArchive("\n".join([f"{len(matches)} sessions have {what}. {hint}", *lines]))
