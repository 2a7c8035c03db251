"""Where reviews are kept: one SQLite file beside the gateway's keys.

What a method returns is on the disk. Instances that share the directory share the reviews.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from uuid_utils import uuid7

from hoop_mitm.databases import open_private
from hoop_mitm.errors import Denied, RecordingError
from hoop_mitm.policy.reviews.deciding import Change, Changed
from hoop_mitm.policy.reviews.forgetting import Kept
from hoop_mitm.policy.reviews.review import OPEN, Review, in_brief

FILE: Final = "reviews.sqlite"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS reviews (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL UNIQUE,
    requester TEXT NOT NULL,
    connection TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    request_id TEXT NOT NULL,
    state TEXT NOT NULL,
    change INTEGER NOT NULL,
    requested_at REAL NOT NULL,
    ended_at REAL,
    polled_at REAL,
    review TEXT NOT NULL
) STRICT;
-- The job of a request that comes again; the last of the same shape that ran; what is open; what changed since.
CREATE INDEX IF NOT EXISTS reviews_by_request ON reviews (requester, request_id) WHERE request_id <> '';
CREATE INDEX IF NOT EXISTS reviews_by_shape ON reviews (fingerprint, connection, requested_at);
CREATE INDEX IF NOT EXISTS reviews_by_state ON reviews (state, requested_at);
CREATE INDEX IF NOT EXISTS reviews_by_change ON reviews (change);
CREATE INDEX IF NOT EXISTS reviews_by_requester ON reviews (requester, state, ended_at);
-- What lists need, so that no list reads what was asked for.
CREATE TABLE IF NOT EXISTS briefs (
    id TEXT PRIMARY KEY REFERENCES reviews ON DELETE CASCADE,
    expires_at REAL NOT NULL,
    brief TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    review TEXT NOT NULL REFERENCES reviews ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    at REAL NOT NULL,
    change TEXT NOT NULL,
    recorded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS changes_unrecorded ON changes (number) WHERE recorded = 0;
CREATE TABLE IF NOT EXISTS deliveries (
    change INTEGER NOT NULL REFERENCES changes ON DELETE CASCADE,
    webhook TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    PRIMARY KEY (change, webhook)
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (due_at);
-- Sessions on hold, as the recording says: their reviews are not deleted.
CREATE TABLE IF NOT EXISTS held (session TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""

_OPEN: Final = f"({', '.join(f"'{state}'" for state in OPEN)})"

_HELD: Final = (
    "id IN (SELECT id FROM briefs WHERE json_extract(brief, '$.held.session.id') IN (SELECT session FROM held))"
)
"""A review of a session on hold."""

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Most:
    """How many reviews one requester may have. ``open``: that wait; ``unrun``: that ended within a day and were never run."""

    open: int
    unrun: int


@dataclass(frozen=True, slots=True)
class Happened:
    """A change with its number, its id (the same however often it is told), and its review as it stands now."""

    number: int
    id: str
    at: datetime
    change: Change
    review: Review


@dataclass(frozen=True, slots=True)
class Delivery:
    """A change that a webhook has not taken yet. ``attempts``: how often it was tried."""

    happened: Happened
    webhook: str
    attempts: int


class Store:
    """The reviews. Nothing is made on the disk before the first is held.

    Args:
        directory: of the gateway's state.
        webhooks: names of those that are told of every change.

    Every method raises `RecordingError` when the file cannot be read or written.
    """

    def __init__(self, directory: Path, webhooks: Sequence[str] = ()) -> None:
        self._file = directory / FILE
        self._webhooks = tuple(webhooks)
        # Polls are looked up on the event loop: they wait neither for who writes, nor for who reads many.
        self._reader, self._writer, self._lister = _Opened(), _Opened(), _Opened()

    def close(self) -> None:
        """Closes the file; the next call opens it again."""
        self._reader.close()
        self._writer.close()
        self._lister.close()

    def add(self, review: Review, change: Change, most: Most | None = None) -> Review:
        """Keeps a new review.

        Args:
            most: that its requester may have; counted together with the keeping, so that many at once are not more.

        Raises:
            KeyError: there is one of this job.
            Denied: ``review.too_many``.
        """
        with self._writing() as connection:
            if most is not None:
                _check(connection, review.held.session.principal.key, most, review.requested_at)
            number = self._note(connection, review.id, change)
            kept = replace(review, change=number)
            try:
                connection.execute(
                    "INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        kept.id,
                        kept.held.job,
                        kept.held.session.principal.key,
                        kept.held.session.connection,
                        kept.fingerprint,
                        kept.held.request_id,
                        kept.state,
                        kept.change,
                        kept.requested_at.timestamp(),
                        None,
                        None,
                        _encoded(kept),
                    ),
                )
            except sqlite3.IntegrityError:
                raise KeyError(kept.held.job) from None
            _abridge(connection, kept)
            return kept

    def update(self, review_id: str, decide: Callable[[Review], Changed | None]) -> Review | None:
        """The review as ``decide`` makes it, alone with it; or as it is, where that says ``None``.

        What ``decide`` raises is raised, and nothing is changed. ``None``: there is no such review.
        """
        with self._writing() as connection:
            found = _one(connection.execute("SELECT review, polled_at FROM reviews WHERE id = ?", (review_id,)))
            if found is None:
                return None
            changed = decide(found)
            if changed is None:
                return found
            review, change = changed
            kept = replace(review, change=self._note(connection, review_id, change))
            connection.execute(
                "UPDATE reviews SET state = ?, change = ?, ended_at = ?, review = ? WHERE id = ?",
                (kept.state, kept.change, _seconds(kept.ended_at), _encoded(kept), review_id),
            )
            _abridge(connection, kept)
        if kept.ended_at is not None and kept.held.level != "full":
            self._empty_log()
        return kept

    def get(self, review_id: str) -> Review | None:
        """The review by its id."""
        return self._find("id = ?", review_id)

    def has_changed(self, review: Review) -> bool:
        """Whether it is not as it was when it was read; reads none of it."""
        with self._reading() as connection:
            if connection is None:
                return False
            row = connection.execute("SELECT change FROM reviews WHERE id = ?", (review.id,)).fetchone()
            return row is not None and row[0] != review.change

    def of_job(self, project: str, job_id: str) -> Review | None:
        """The review of a job."""
        return self._find("job = ?", f"{project}:{job_id}")

    def of_request(self, requester: str, request_id: str) -> Review | None:
        """The review that the same request made before."""
        return self._find("requester = ? AND request_id = ? AND request_id <> ''", requester, request_id)

    def last_that_ran(self, like: Review) -> Review | None:
        """The last one of the same shape and connection that reviewers let run."""
        return self._find(
            "fingerprint = ? AND connection = ? AND state = 'EXECUTED' AND requested_at < ? "
            "ORDER BY requested_at DESC LIMIT 1",
            like.fingerprint,
            like.held.session.connection,
            like.requested_at.timestamp(),
        )

    def check(self, requester: str, most: Most) -> None:
        """Whether this requester may have one more; :meth:`add` has the last word.

        Raises:
            Denied: ``review.too_many``.
        """
        with self._reading(self._lister) as connection:
            if connection is not None:
                _check(connection, requester, most, datetime.now(UTC))

    def all(self, states: Sequence[str] = (), *, after: int = 0, limit: int = 1_000) -> list[Review]:
        """Reviews in these states (in any, if none is named), changed after that change, in brief (`in_brief`).

        First all that are open, then as many as ``limit`` of those that have ended; the latest first.
        """
        marks = ", ".join("?" * len(states))
        among = f"change > ? AND state IN ({marks})" if states else "change > ?"
        return self._briefs(among, after, *states, limit=limit)

    def beginning_with(self, start: str, limit: int = 1_000) -> list[Review]:
        """Reviews whose id begins so, in brief and in the order of :meth:`all`."""
        return self._briefs("id >= ? AND id < ?", start, f"{start}\U0010ffff", limit=limit)

    def to_do(self, now: datetime) -> list[Review]:
        """Those that something is to become of now, in brief, the oldest first: that are approved, are sent, or have expired."""
        with self._reading(self._lister) as connection:
            if connection is None:
                return []
            found = connection.execute(
                "SELECT brief, polled_at FROM reviews JOIN briefs USING (id) "
                "WHERE state IN ('APPROVED', 'EXECUTING') OR (state = 'PENDING' AND expires_at <= ?) ORDER BY requested_at",
                (now.timestamp(),),
            )
            return [_decoded(*row) for row in found]

    def open_ids(self) -> set[str]:
        """The ids of those that are open."""
        with self._reading(self._lister) as connection:
            if connection is None:
                return set()
            return {each for (each,) in connection.execute(f"SELECT id FROM reviews WHERE state IN {_OPEN}")}  # noqa: S608

    @property
    def last_change(self) -> int:
        """The number of the last change; 0 before the first."""
        with self._reading() as connection:
            if connection is None:
                return 0
            (number,) = connection.execute("SELECT max(number) FROM changes").fetchone()
            return int(number or 0)

    def polled(self, at: dict[str, datetime]) -> None:
        """Notes when clients last asked, by review. A crash may lose it."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE reviews SET polled_at = ? WHERE id = ?", [(when.timestamp(), each) for each, when in at.items()]
            )

    def unrecorded(self) -> list[Happened]:
        """The changes that are in no recording yet, in their order, with their reviews in brief."""
        with self._reading(self._lister) as connection:
            if connection is None:
                return []
            return _happened(connection, "changes.recorded = 0 ORDER BY number", column="brief")

    def recorded(self, numbers: Sequence[int]) -> None:
        """Notes that these are recorded."""
        with self._writing() as connection:
            connection.executemany("UPDATE changes SET recorded = 1 WHERE number = ?", [(each,) for each in numbers])

    def due(self, now: datetime, limit: int = 20) -> list[Delivery]:
        """What webhooks are to be told now."""
        with self._reading(self._lister) as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT change, webhook, attempts FROM deliveries WHERE due_at <= ? ORDER BY due_at LIMIT ?",
                (now.timestamp(), limit),
            ).fetchall()
            found: list[Delivery] = []
            for number, webhook, attempts in rows:
                found += (Delivery(each, webhook, attempts) for each in _happened(connection, "number = ?", number))
            return found

    def next_due(self) -> datetime | None:
        """When there is something to tell next."""
        with self._reading(self._lister) as connection:
            row = connection.execute("SELECT min(due_at) FROM deliveries").fetchone() if connection else None
        return datetime.fromtimestamp(row[0], UTC) if row and row[0] is not None else None

    def delivered(self, delivery: Delivery) -> None:
        """It was taken, or is given up."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM deliveries WHERE change = ? AND webhook = ?",
                (delivery.happened.number, delivery.webhook),
            )

    def postpone(self, delivery: Delivery, until: datetime) -> None:
        """It was not taken."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due_at = ? WHERE change = ? AND webhook = ?",
                (until.timestamp(), delivery.happened.number, delivery.webhook),
            )

    def forget(self, before: datetime, unrun_before: datetime | None = None) -> int:
        """Deletes reviews that ended before, but for those of sessions on hold; how many.

        Args:
            unrun_before: where the job never came to BigQuery, the review is only deleted when it ended before this too,
                and loses its texts until then: while it is known, its requester's polls end here, and do not reach
                whichever job has that id at BigQuery.
        """
        unrun_before = before if unrun_before is None else min(before, unrun_before)
        with self._reading() as connection:
            if connection is None:
                return 0
        with self._writing() as connection:
            gone = connection.execute(
                f"DELETE FROM reviews WHERE NOT {_HELD} AND ended_at < ? AND (ended_at < ? OR (state = 'EXECUTED' AND id IN "  # noqa: S608
                "(SELECT id FROM briefs WHERE json_extract(brief, '$.outcome') IS NULL)))",
                (before.timestamp(), unrun_before.timestamp()),
            ).rowcount
            connection.execute(
                "UPDATE reviews SET review = briefs.brief FROM briefs WHERE briefs.id = reviews.id AND ended_at < ? "  # noqa: S608
                f"AND review <> briefs.brief AND NOT reviews.{_HELD}",
                (before.timestamp(),),
            )
        self._empty_log()
        return gone

    def everything(self) -> list[Kept]:
        """All reviews, with what is told of them."""
        with self._reading(self._lister) as connection:
            if connection is None:
                return []
            ids = [each for (each,) in connection.execute("SELECT id FROM reviews ORDER BY id")]
            return [kept for each in ids for _, kept in _kept(connection, each)]

    def revise(self, decide: Callable[[Kept], Kept | None]) -> int:
        """Makes what ``decide`` says of each review that has ended (``None``: nothing is left); how many became others.

        What is taken out is in no byte of the files afterwards.

        Raises:
            RecordingError: it could not be done, or another program reads the old file all the time.
        """
        with self._reading() as connection:
            if connection is None:
                return 0
        revised = 0
        with self._writing() as connection:
            ended = connection.execute("SELECT id FROM reviews WHERE ended_at IS NOT NULL ORDER BY id").fetchall()
            for (review_id,) in ended:
                for numbers, kept in _kept(connection, review_id):
                    left = decide(kept)
                    if left != kept:
                        _replace(connection, review_id, numbers, left)
                        revised += 1
        self._purge()
        return revised

    def hold(self, sessions: Collection[str]) -> None:
        """These sessions are on hold, and no others."""
        with self._reading() as connection:
            if connection is None and not sessions:
                return
        with self._writing() as connection:
            connection.execute("DELETE FROM held")
            connection.executemany("INSERT INTO held VALUES (?)", [(each,) for each in sessions])

    def _purge(self) -> None:
        with self._writer.lock, self._explained(self._writer):
            connection = self._open(self._writer)
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute("VACUUM")
            if not self._empty_log():
                raise sqlite3.OperationalError("another program reads it all the time")

    def _empty_log(self) -> bool:
        """Has what was deleted leave SQLite's log, too; whether nobody was in the way."""
        with self._writer.lock, self._explained(self._writer):
            (busy, _, _) = self._open(self._writer).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def _note(self, connection: sqlite3.Connection, review_id: str, change: Change) -> int:
        now = datetime.now(UTC).timestamp()
        # The review's own row may come after, within the same transaction.
        number = connection.execute(
            "INSERT INTO changes (id, review, at, change) VALUES (?, ?, ?, ?)",
            (str(uuid7()), review_id, now, msgspec.json.encode(change).decode()),
        ).lastrowid
        assert number
        connection.executemany(
            "INSERT INTO deliveries (change, webhook, due_at) VALUES (?, ?, ?)",
            [(number, webhook, now) for webhook in self._webhooks],
        )
        return number

    def _find(self, where: str, *values: object) -> Review | None:
        return next(iter(self._select(where, *values)), None)

    def _select(self, where: str, *values: object) -> list[Review]:
        with self._reading() as connection:
            if connection is None:
                return []
            found = connection.execute(f"SELECT review, polled_at FROM reviews WHERE {where}", values)  # noqa: S608 - our own
            return [_decoded(*row) for row in found]

    def _briefs(self, where: str, *values: object, limit: int) -> list[Review]:
        with self._reading(self._lister) as connection:
            if connection is None:
                return []
            found: list[Review] = []
            # What has ended, and there may be much of it, takes no place from what is to be decided.
            for among, most in ((f"state IN {_OPEN}", -1), (f"state NOT IN {_OPEN}", limit)):
                rows = connection.execute(
                    "SELECT brief, polled_at FROM (SELECT id, polled_at, requested_at FROM reviews "  # noqa: S608 - our own
                    f"WHERE {where} AND {among} ORDER BY requested_at DESC, id DESC LIMIT ?) "
                    "JOIN briefs USING (id) ORDER BY requested_at DESC, id DESC",
                    (*values, most),
                )
                found += (_decoded(*row) for row in rows)
            return found

    @contextmanager
    def _reading(self, place: "_Opened | None" = None) -> Iterator[sqlite3.Connection | None]:
        """The file; ``None`` while there is none."""
        place = place or self._reader
        with place.lock, self._explained(place):
            if place.connection is None and not self._file.exists():
                yield None
            else:
                yield self._open(place)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._writer.lock, self._explained(self._writer):
            connection = self._open(self._writer)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _open(self, place: "_Opened") -> sqlite3.Connection:
        if place.connection is None:
            connection = open_private(self._file)
            # Whole statements lie here: what is deleted is gone.
            for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}")
            connection.executescript(_SCHEMA)
            _abridge_all(connection)
            place.connection = connection
        return place.connection

    @contextmanager
    def _explained(self, place: "_Opened") -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, msgspec.DecodeError) as error:
            # A connection that failed half-way is in no state to go on with.
            place.close()
            raise RecordingError(
                f"hoop-mitm cannot keep reviews in {self._file} just now ({type(error).__name__}), so nothing is held and "
                "nothing is approved. Ask the gateway's owner; the usual reason is a full disk."
            ) from error


class _Opened:
    """A connection that one thread at a time uses."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None

    def close(self) -> None:
        with self.lock:
            if self.connection is not None:
                self.connection.close()
                self.connection = None


def _check(connection: sqlite3.Connection, requester: str, most: Most, now: datetime) -> None:
    (waiting,) = connection.execute(
        f"SELECT count(*) FROM reviews WHERE requester = ? AND state IN {_OPEN}",  # noqa: S608 - a constant
        (requester,),
    ).fetchone()
    if waiting >= most.open:
        raise Denied(
            "review.too_many",
            f"{most.open} requests of yours wait for a review already. Wait for them, or cancel some.",
        )
    (unrun,) = connection.execute(
        "SELECT count(*) FROM reviews WHERE requester = ? AND state IN ('WITHDRAWN', 'REJECTED', 'EXPIRED') AND ended_at > ?",
        (requester, (now - _DAY).timestamp()),
    ).fetchone()
    if unrun >= most.unrun:
        raise Denied(
            "review.too_many",
            f"{most.unrun} requests of yours were held within a day, and were cancelled, rejected or expired. Ask a reviewer "
            "what they would approve, and send that tomorrow.",
        )


def _abridge(connection: sqlite3.Connection, review: Review) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO briefs (id, expires_at, brief) VALUES (?, ?, ?)",
        (review.id, review.expires_at.timestamp(), _encoded(in_brief(review))),
    )


def _abridge_all(connection: sqlite3.Connection) -> None:
    """Adds what a gateway that kept no briefs has left."""
    while row := connection.execute(
        "SELECT review FROM reviews WHERE id NOT IN (SELECT id FROM briefs) LIMIT 1"
    ).fetchone():
        _abridge(connection, _decoded(row[0], None))


def _kept(connection: sqlite3.Connection, review_id: str) -> Iterator[tuple[list[int], Kept]]:
    """The review with its changes and their numbers, if it is there."""
    found = _one(connection.execute("SELECT review, polled_at FROM reviews WHERE id = ?", (review_id,)))
    if found is not None:
        rows = connection.execute(
            "SELECT number, change FROM changes WHERE review = ? ORDER BY number", (review_id,)
        ).fetchall()
        changes = tuple(msgspec.json.decode(change, type=Change) for _, change in rows)
        yield [number for number, _ in rows], Kept(found, changes)


def _replace(connection: sqlite3.Connection, review_id: str, numbers: Sequence[int], left: Kept | None) -> None:
    if left is None:
        connection.execute("DELETE FROM reviews WHERE id = ?", (review_id,))
        return
    review = left.review
    connection.execute(
        "UPDATE reviews SET fingerprint = ?, request_id = ?, review = ? WHERE id = ?",
        (review.fingerprint, review.held.request_id, _encoded(review), review_id),
    )
    _abridge(connection, review)
    if not left.changes:
        connection.execute("DELETE FROM changes WHERE review = ?", (review_id,))
    for number, change in zip(numbers, left.changes, strict=False):
        connection.execute(
            "UPDATE changes SET change = ? WHERE number = ?", (msgspec.json.encode(change).decode(), number)
        )


def _happened(
    connection: sqlite3.Connection, where: str, *values: object, column: str = "reviews.review"
) -> list[Happened]:
    rows: list[Any] = connection.execute(
        f"SELECT number, changes.id, at, changes.change, {column}, polled_at "  # noqa: S608 - our own
        "FROM changes JOIN reviews ON reviews.id = changes.review JOIN briefs ON briefs.id = changes.review "
        f"WHERE {where}",
        values,
    ).fetchall()
    return [
        Happened(
            number,
            change_id,
            datetime.fromtimestamp(at, UTC),
            msgspec.json.decode(change, type=Change),
            _decoded(review, polled_at),
        )
        for number, change_id, at, change, review, polled_at in rows
    ]


def _one(rows: sqlite3.Cursor) -> Review | None:
    row = rows.fetchone()
    return _decoded(*row) if row else None


def _encoded(review: Review) -> str:
    return msgspec.json.encode(review).decode()


def _decoded(review: str, polled_at: float | None) -> Review:
    read = msgspec.json.decode(review, type=Review)
    return replace(read, polled_at=datetime.fromtimestamp(polled_at, UTC)) if polled_at else read


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None
