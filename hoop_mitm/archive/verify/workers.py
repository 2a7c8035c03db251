"""Work on a file in several processes, each of which has it open for itself."""

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hoop_mitm.archive.verify.file import File
from hoop_mitm.errors import ArchiveError

#: A process takes half a second to start: below this many records they are not worth it.
WORTH_IT = 50_000
#: Tasks that are given out ahead of the results that were taken.
_AHEAD = 2

_mine: File | None = None


class Workers:
    """A context manager. With ``number`` 0 the work is done here, on ``file``."""

    def __init__(self, file: File, number: int) -> None:
        self._file = file
        self._number = number
        self._pool: ProcessPoolExecutor | None = None

    @classmethod
    def for_records(cls, file: File, records: int) -> Self:
        return cls(file, (os.cpu_count() or 1) if records >= WORTH_IT else 0)

    def __enter__(self) -> Self:
        if self._number:
            # Forking would take locks of DuckDB's threads along.
            self._pool = ProcessPoolExecutor(
                self._number,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_open,
                initargs=(self._file.path,),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def each[Result](self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """``work(file, *task)`` of each task, in their order. Few results wait at a time.

        Raises:
            ArchiveError: a process died.
        """
        if self._pool is None:
            for task in tasks:
                yield work(self._file, *task)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(_work, work, task))
                if len(waiting) >= self._number + _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise ArchiveError(
                f"A process that looked through {self._file.path} was ended by the system: there may be too little memory."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _open(path: Path) -> None:
    global _mine  # noqa: PLW0603 - a process has one file
    # Ctrl-C is for the process that waits for this one.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Thousands of records at a time, without circles: to look for some in them costs more than all else.
    gc.freeze()
    gc.disable()
    _mine = File(path, wait=1)


def _work[Result](work: Callable[..., Result], task: tuple[Any, ...]) -> Result:
    assert _mine is not None
    return work(_mine, *task)


__all__ = ["WORTH_IT", "Workers"]
