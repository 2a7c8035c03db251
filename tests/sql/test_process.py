"""Facts found in a process of their own, with a limit that holds."""

import asyncio
import subprocess
import sys
import time

import pytest

from hoop_mitm.sql import Understanding, understand
from hoop_mitm.sql.process import SHORT, _Process

# sqlglot needs long for this; that it is long enough to be stopped is asserted.
BOMB = "SELECT " + ",".join(["(SELECT max(a) FROM shop.b WHERE c IN (SELECT d FROM shop.e))"] * 6000)

#: Seconds, for what must be understood on a machine that has much else to do.
PATIENCE = 60.0

PADDING = f"/* {'x' * SHORT} */"
"""Makes a statement one of the long ones."""


async def _longest_work(stop: asyncio.Event) -> float:
    """The most seconds of processor that the loop's thread took to come round."""
    longest, last = 0.0, time.thread_time()
    while not stop.is_set():
        await asyncio.sleep(0.005)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest


def test_it_says_what_the_library_says_and_knows_it_the_next_time() -> None:
    async def ask() -> None:
        understanding = Understanding(limit=PATIENCE)
        try:
            for statement in ("SELECT * FROM t, shop.a", "DROP TABLE shop.a", "CALL p()", "SELECT 'é\U0001f600'", ""):
                expected = understand(statement, project="acme", default_dataset=(None, "d"))
                for _ in range(2):
                    found = await understanding.of(statement, project="acme", default_dataset=(None, "d"))
                    assert found == expected
            assert (await understanding.of("SELECT 1", project="acme", legacy=True)).opaque
            assert not (await understanding.of("SELECT 1", project="acme")).opaque
            assert (await understanding.of("SELECT '\udc80'", project="acme")).opaque
        finally:
            understanding.close()
        await understanding.closed()

    asyncio.run(ask())


def test_what_takes_long_stops_neither_the_loop_nor_the_others() -> None:
    async def ask() -> None:
        understanding = Understanding(limit=PATIENCE)
        await understanding.warm()
        stop = asyncio.Event()
        watch = asyncio.create_task(_longest_work(stop))
        bomb = asyncio.create_task(understanding.of(BOMB, project="acme"))
        try:
            while not understanding._long.is_asked:
                await asyncio.sleep(0.005)
            assert (await understanding.of("SELECT 2", project="acme")).verb == "read"
            assert not bomb.done()
        finally:
            stop.set()
            work = await watch
            understanding.close()
        await understanding.closed()
        assert "parser ended" in (await bomb).opaque
        assert work < 1.0

    asyncio.run(ask())


def test_what_takes_too_long_is_opaque_and_the_next_one_is_understood() -> None:
    async def ask() -> None:
        understanding = Understanding(limit=1.0)
        try:
            bombs = [understanding.of(BOMB + f" -- {n}", project="acme") for n in range(2)]
            facts = await asyncio.gather(*bombs)
            assert all("longer than 1 seconds" in each.opaque and each.verb == "admin" for each in facts)
            understanding._limit = PATIENCE
            assert (await understanding.of(f"SELECT 1 {PADDING}", project="acme")).verb == "read"
        finally:
            understanding.close()
        await understanding.closed()

    asyncio.run(ask())


def test_a_process_that_dies_makes_one_statement_opaque_and_is_started_again() -> None:
    async def ask() -> None:
        understanding = Understanding(limit=PATIENCE)
        await understanding.warm()
        try:
            asked = asyncio.create_task(understanding.of(BOMB, project="acme"))
            process = understanding._long
            while not process.is_asked:
                await asyncio.sleep(0.005)
            process.kill()
            assert "parser ended" in (await asked).opaque
            assert (await understanding.of(f"SELECT 1 {PADDING}", project="acme")).verb == "read"
        finally:
            understanding.close()
        await understanding.closed()

    asyncio.run(ask())


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones() -> None:
    async def ask() -> None:
        understanding = Understanding(limit=PATIENCE)
        try:
            gone = asyncio.create_task(understanding.of(BOMB, project="acme"))
            while not any(process.is_asked for process in understanding._processes):
                await asyncio.sleep(0.005)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            found = await asyncio.gather(
                *(understanding.of(f"DROP TABLE d.t{n} {PADDING}", project="p") for n in range(6))
            )
            assert [each.writes[0].table for each in found] == [f"t{n}" for n in range(6)]
        finally:
            understanding.close()
        await understanding.closed()

    asyncio.run(ask())


def test_after_its_end_everything_is_opaque() -> None:
    async def ask() -> None:
        understanding = Understanding(limit=PATIENCE)
        understanding.close()
        await understanding.closed()
        assert (await understanding.of("SELECT 1", project="acme")).opaque
        assert all(isinstance(process, _Process) and process._child is None for process in understanding._processes)

    asyncio.run(ask())


def test_a_process_ends_with_whoever_started_it() -> None:
    command = [sys.executable, "-P", "-m", "hoop_mitm.sql.child"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
