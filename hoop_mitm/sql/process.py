"""Facts found in a process of its own, which is ended when it takes too long: the gateway's loop never waits for it."""

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

import hoop_mitm
from hoop_mitm.sql import cache
from hoop_mitm.sql.facts import Dataset, StatementFacts

log = logging.getLogger(__name__)

LIMIT: Final = 5.0
"""Seconds for one statement."""

SHORT: Final = 2**14
"""Characters. What is longer has a process of its own: only that can take long, and it holds nothing else up."""

_START: Final = 30.0
"""Seconds for a process to come up; on a busy machine the parser alone is imported for a second."""

LENGTH: Final = 4
"""Bytes before each message, which say how long it is."""


class Task(msgspec.Struct, array_like=True):
    """What a process is asked."""

    statement: str
    project: str
    default: Dataset | None
    legacy: bool


class Understanding:
    """Facts of statements for whoever must not wait. One for a gateway; belongs to one event loop.

    A statement that takes longer than ``limit`` seconds, or makes its process end, is opaque.
    """

    def __init__(self, *, limit: float = LIMIT) -> None:
        self._limit = limit
        self._cache = cache.Cache()
        self._short, self._long = self._processes = _Process(), _Process()
        self._closed = False

    async def warm(self) -> None:
        """Starts its processes, so that the first statement does not wait for them. Never needed."""
        for process in self._processes:
            async with process.free:
                with contextlib.suppress(OSError, EOFError, TimeoutError):
                    await process.start()

    async def of(
        self, statement: str, *, project: str, default_dataset: Dataset | None = None, legacy: bool = False
    ) -> StatementFacts:
        """As ``understand``."""
        key = cache.key(statement, project, default_dataset, legacy=legacy)
        if (known := self._cache.get(key)) is not None:
            return known
        try:
            facts = await self._ask(Task(statement, project, default_dataset, legacy))
        except TimeoutError:
            log.warning("a statement of %d characters took longer than %s s to understand", len(statement), self._limit)
            return _not_understood(f"it takes longer than {self._limit:g} seconds to understand.")
        except (OSError, EOFError, UnicodeError, msgspec.MsgspecError) as error:
            log.error("a statement of %d characters was not understood: %s", len(statement), type(error).__name__)  # noqa: TRY400
            return _not_understood("hoop-mitm's parser ended while it read it.")
        self._cache.put(key, facts)
        return facts

    def close(self) -> None:
        """Ends its processes. What is asked afterwards is opaque, unless it is known."""
        self._closed = True
        for process in self._processes:
            process.kill()

    async def closed(self) -> None:
        """Returns when its processes have ended, after ``close``."""
        for process in self._processes:
            await process.end()

    async def _ask(self, task: Task) -> StatementFacts:
        process = self._short if len(task.statement) <= SHORT else self._long
        async with process.free:
            answered = False
            try:
                if self._closed:
                    raise EOFError
                await process.start()
                process.is_asked = True
                async with asyncio.timeout(self._limit):
                    facts = await process.ask(task)
                answered = True
                return facts
            finally:
                process.is_asked = False
                # What was asked of it and not taken would be the next one's answer.
                if not answered:
                    process.kill()


def _not_understood(reason: str) -> StatementFacts:
    return StatementFacts((), "admin", opaque=reason)


class _Process:
    """A child that runs ``hoop_mitm.sql.child``, started when it is needed."""

    def __init__(self) -> None:
        self.free = asyncio.Lock()
        self.is_asked = False
        self._child: asyncio.subprocess.Process | None = None
        self._ended = False

    async def start(self) -> None:
        """Makes sure that it runs, and has everything imported."""
        if self._ended:
            await self.end()
        if self._child is not None and self._child.returncode is None:
            return
        package = Path(hoop_mitm.__file__).parent.parent
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._child = await asyncio.create_subprocess_exec(
            # -P: the directory that the gateway was started in has no say in what is imported.
            *(sys.executable, "-P", "-m", "hoop_mitm.sql.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            # Ctrl-C is for the gateway, which ends it in its turn.
            start_new_session=True,
        )
        async with asyncio.timeout(_START):
            await self.ask(Task("SELECT 1", "p", None, False))  # noqa: FBT003 - as on the wire

    async def ask(self, task: Task) -> StatementFacts:
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise EOFError
        message = msgspec.msgpack.encode(task)
        child.stdin.write(len(message).to_bytes(LENGTH) + message)
        await child.stdin.drain()
        length = int.from_bytes(await child.stdout.readexactly(LENGTH))
        return msgspec.msgpack.decode(await child.stdout.readexactly(length), type=StatementFacts)

    def kill(self) -> None:
        """Ends it at once; ``start`` brings up another."""
        self._ended = True
        if self._child is not None:
            # The transport kills it and lets go of its pipes, whoever waits at them and however soon the loop ends;
            # asyncio has no other way to do that without waiting.
            self._child._transport.close()  # type: ignore[attr-defined] # noqa: SLF001

    async def end(self) -> None:
        """Returns when it has ended."""
        self.kill()
        if self._child is not None:
            await self._child.wait()
        self._child = None
        self._ended = False
