"""Watching a recording that grows, without holding it: it is open for a moment after it has changed, and not between."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from hoop_mitm.archive.following import Follower, News
from hoop_mitm.archive.opening import file_of, fold_beside, open_archive
from hoop_mitm.archive.query import Query
from hoop_mitm.errors import ArchiveBusy, ArchiveError

_POLL = 0.25
_PATIENCE = 2.0
# While nothing happens: what a gateway left behind that died together with its fold.
_FOLD_EVERY = 5.0
_COMPLAIN_AFTER = 10.0

type Say = Callable[[str], None]
type Signature = tuple[tuple[int, int, int, int] | None, ...]


def watch(
    path: Path, query: Query, *, session: str | None = None, last: int = 0, say: Say
) -> Iterator[tuple[tuple[News, ...], dict[str, str]]]:
    """What ``query`` asks for (but for its text) in the recording at ``path``: the ``last`` ones, then all that comes.

    Each time with the sessions' short ids. The recording is closed by then, and it never ends by itself. It goes on when another file takes the recording's place, when the gateway starts anew, and while somebody else has
    the file open; ``say`` is told, in a sentence, what is waited for, and once that nothing which comes from now on is missed.

    Args:
        session: a session as ``Archive.find`` takes it; it is looked up once, at the beginning.

    Raises:
        ArchiveError: there is no recording, and no gateway that is about to make one; or it cannot be read.
        NotInArchive: there is no such session.
    """
    path = file_of(path)
    _wait_for(path, say)
    follower: Follower | None = None
    seen: Signature = ()
    looked_for_more = time.monotonic()
    trouble = _Trouble(say)
    while True:
        signature = _signature(path)
        if follower is not None and signature == seen and not follower.is_due:
            if time.monotonic() - looked_for_more > _FOLD_EVERY:
                fold_beside(path)
                looked_for_more = time.monotonic()
            time.sleep(_POLL)
            continue
        try:
            archive = open_archive(path, wait=_PATIENCE, fold=follower is None)
        except ArchiveBusy:
            trouble.lasts(f"{path} is held by another program; what is new is shown when it lets go.")
            continue
        except ArchiveError:
            if follower is None or path.exists():
                raise
            trouble.lasts(f"{path} is gone; waiting for the gateway to make it anew.")
            time.sleep(_POLL)
            continue
        trouble.over()
        with archive:
            seen = signature
            begins = follower is None
            if follower is None:
                found = None if session is None else archive.find(session).id
                follower = Follower(replace(query, session=found))
                news = archive.follow(follower, last)
            else:
                news = archive.news(follower)
            short = archive.short_ids() if news else {}
        if news:
            yield news, short
        if begins:
            say(f"Following {path}: what is recorded from now on is shown when it comes. Ctrl-C ends it.")


class _Trouble:
    """Says what lasts too long, once."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since: float | None = None
        self._said = False

    def lasts(self, what: str) -> None:
        self._since = self._since or time.monotonic()
        if not self._said and time.monotonic() - self._since > _COMPLAIN_AFTER:
            self._say(what)
            self._said = True

    def over(self) -> None:
        self._since, self._said = None, False


def _wait_for(path: Path, say: Say) -> None:
    """Where a gateway has begun to record but not to fold yet."""
    if not path.exists() and (path.parent / "journal").is_dir():
        say(f"Waiting for {path}: the gateway has recorded nothing yet.")
        while not path.exists():
            fold_beside(path)
            time.sleep(_POLL)


def _signature(path: Path) -> Signature:
    """What changes whenever a fold, or retention, has written."""
    found: list[tuple[int, int, int, int] | None] = []
    for each in (path, path.with_name(f"{path.name}.wal")):
        try:
            status = each.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
