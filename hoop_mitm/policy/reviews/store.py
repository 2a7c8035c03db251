"""Where reviews are kept: one SQLite file beside the gateway's keys.

What a method returns is on the disk. Instances that share the directory share the reviews.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from uuid_utils import uuid7

from hoop_mitm.errors import RecordingError
from hoop_mitm.policy.reviews.deciding import Change, Changed
from hoop_mitm.policy.reviews.review import OPEN, Review

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
"""

_OPEN: Final = f"({', '.join(f"'{state}'" for state in OPEN)})"


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
        # Who reads does not wait for who writes: polls are looked up on the event loop.
        self._reader, self._writer = _Opened(), _Opened()

    def close(self) -> None:
        """Closes the file; the next call opens it again."""
        self._reader.close()
        self._writer.close()

    def add(self, review: Review, change: Change) -> Review:
        """Keeps a new review.

        Raises:
            KeyError: there is one of this job.
        """
        with self._writing() as connection:
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
            return kept

    def get(self, review_id: str) -> Review | None:
        """The review by its id."""
        return self._find("id = ?", review_id)

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

    def open_of(self, requester: str) -> int:
        """How many of this requester's are open."""
        with self._reading() as connection:
            if connection is None:
                return 0
            (count,) = connection.execute(
                f"SELECT count(*) FROM reviews WHERE requester = ? AND state IN {_OPEN}",  # noqa: S608 - a constant
                (requester,),
            ).fetchone()
            return int(count)

    def all(self, states: Sequence[str] = (), *, after: int = 0, limit: int = 1_000) -> list[Review]:
        """Reviews in these states (in any, if none is named), changed after that change; the latest first."""
        marks = ", ".join("?" * len(states))
        among = f"AND state IN ({marks})" if states else ""
        return self._select(
            f"change > ? {among} ORDER BY requested_at DESC, id DESC LIMIT ?",
            after,
            *states,
            limit,
        )

    def to_do(self) -> list[Review]:
        """Those that are open, the oldest first."""
        return self._select(f"state IN {_OPEN} ORDER BY requested_at")

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
        """The changes that are in no recording yet, in their order."""
        with self._reading() as connection:
            if connection is None:
                return []
            return _happened(connection, "changes.recorded = 0 ORDER BY number")

    def recorded(self, numbers: Sequence[int]) -> None:
        """Notes that these are recorded."""
        with self._writing() as connection:
            connection.executemany("UPDATE changes SET recorded = 1 WHERE number = ?", [(each,) for each in numbers])

    def due(self, now: datetime, limit: int = 20) -> list[Delivery]:
        """What webhooks are to be told now."""
        with self._reading() as connection:
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
        with self._reading() as connection:
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

    def forget(self, before: datetime) -> int:
        """Deletes reviews that ended before; how many."""
        with self._reading() as connection:
            if connection is None:
                return 0
        with self._writing() as connection:
            return connection.execute("DELETE FROM reviews WHERE ended_at < ?", (before.timestamp(),)).rowcount

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

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """The file; ``None`` while there is none."""
        with self._reader.lock, self._explained(self._reader):
            if self._reader.connection is None and not self._file.exists():
                yield None
            else:
                yield self._open(self._reader)

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
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self._file, timeout=10, isolation_level=None, check_same_thread=False)
            # Whole statements lie here: what is deleted is gone.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}")
            connection.executescript(_SCHEMA)
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


def _happened(connection: sqlite3.Connection, where: str, *values: object) -> list[Happened]:
    rows: list[Any] = connection.execute(
        "SELECT number, changes.id, at, changes.change, reviews.review, polled_at "  # noqa: S608 - our own
        f"FROM changes JOIN reviews ON reviews.id = changes.review WHERE {where}",
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
