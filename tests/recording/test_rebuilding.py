"""Whatever becomes of the archive, the journal makes it again as far back as it is kept, and says how far that is."""

import os
import shutil
import time
from pathlib import Path

import duckdb
import pytest

from hoop_mitm.config.model import Recording
from hoop_mitm.recording import Recorder
from hoop_mitm.recording import kept as kept_module
from hoop_mitm.recording.fold import Fold, fold_once
from hoop_mitm.recording.kept import Kept
from hoop_mitm.recording.remarks import left
from tests.recording.building import READ_ROWS, ask, ask_one, body_of, flow, message
from tests.recording.damaging import flip, leave_log
from tests.recording.evidence import sound
from tests.recording.folding import Gateway, keys
from tests.waiting import until

DAY = 86400.0


@pytest.fixture
def folded(gateway: Gateway) -> Gateway:
    """A hundred flows, folded, in several segments."""
    for portion in range(5):
        gateway.write(*(flow(id=f"{portion}-{n:02}", response={"row": os.urandom(3000).hex()}) for n in range(20)))
        gateway.journal.sign("minute")
        gateway.journal.open()
    fold_once(gateway.layout.directory)
    return gateway


def remarks(directory: Path) -> list[tuple[str, str]]:
    return ask(directory, "SELECT type, message FROM events ORDER BY occurred_at")


def flows(directory: Path) -> int:
    found: int = ask(directory, "SELECT count(*) FROM flows")[0][0]
    return found


def test_an_archive_that_was_deleted_is_made_again_and_an_event_says_so(folded: Gateway) -> None:
    directory = folded.layout.directory
    before = ask(directory, "SELECT * FROM records ORDER BY chain, seq")
    folded.layout.archive.unlink()
    fold_once(directory)
    assert flows(directory) == 100
    assert ask(directory, "SELECT * FROM records ORDER BY chain, seq") == before
    sound(directory, keys())
    [(type_, text)] = remarks(directory)
    assert type_ == "recording.rebuilt"
    assert "made again from the journal, from record 1 on. Nothing that a gateway recorded is missing." in text
    # The archive's own chains (holds, say) never were in the journal.
    assert "What was done to the archive itself (retention, erasures, imports, the events of holds) is not" in text


def test_what_is_no_longer_kept_is_missing_and_an_event_says_from_which_record_on(folded: Gateway) -> None:
    directory = folded.layout.directory
    Fold(folded.layout, keep=0).run()
    folded.write(*(flow(id=f"new-{n}") for n in range(3)))
    folded.layout.archive.unlink()
    fold_once(directory)
    assert flows(directory) == 3
    [(type_, text)] = remarks(directory)
    assert type_ == "recording.rebuilt"
    assert "goes back to record 103. What was before is not in it" in text
    # What is there is whole all the same.
    [chain] = sound(directory, keys()).values()
    assert chain == {"first": 103, "last": 105, "signed": 0}


def test_with_nothing_kept_the_archive_begins_anew(folded: Gateway) -> None:
    Fold(folded.layout, keep=0).run()
    folded.layout.archive.unlink()
    fold_once(folded.layout.directory)
    [(_, text)] = remarks(folded.layout.directory)
    assert "holds nothing of what was in it" in text


DAMAGE = {
    "cut to a half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "a flipped byte in its head": lambda path: flip(path, 100),
    "nonsense": lambda path: path.write_bytes(b"nonsense" * 9999),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_an_archive_that_is_damaged_is_set_aside_and_made_again(folded: Gateway, how: str) -> None:
    directory = folded.layout.directory
    DAMAGE[how](folded.layout.archive)
    damaged = folded.layout.archive.read_bytes()
    folded.fold(flow(id="new"))
    assert flows(directory) == 101
    sound(directory, keys())
    [aside] = directory.glob("hoop.duckdb.damaged-*")
    assert aside.read_bytes() == damaged
    assert [type_ for type_, _ in remarks(directory)] == ["recording.damaged", "recording.rebuilt"]
    assert aside.name in remarks(directory)[0][1]


def test_a_flipped_byte_that_a_fold_comes_across_is_damage_too(folded: Gateway) -> None:
    directory = folded.layout.directory
    archive = folded.layout.archive
    # Every block but the headers: whichever the fold reads is broken.
    for at in range(12288 + 5000, archive.stat().st_size, 262144):
        flip(archive, at)
    folded.fold(flow(id="new"))
    assert flows(directory) == 101
    assert len(list(directory.glob("hoop.duckdb.damaged-*"))) == 1


def test_a_damaged_log_alone_is_set_aside_alone(folded: Gateway) -> None:
    """The log of a writer that was killed: without it the archive is an older state of itself."""
    directory = folded.layout.directory
    log = leave_log(folded.layout.archive)
    flip(log, log.stat().st_size // 2)
    folded.fold(flow(id="new"))
    assert flows(directory) == 101
    assert [path.name.partition("-")[0] for path in directory.glob("*.damaged-*")] == ["hoop.duckdb.wal.damaged"]
    assert [type_ for type_, _ in remarks(directory)] == ["recording.damaged"]


def test_an_older_copy_that_was_put_back_is_brought_up_to_date(folded: Gateway) -> None:
    directory = folded.layout.directory
    shutil.copyfile(folded.layout.archive, directory / "backup")
    folded.fold(*(flow(id=f"new-{n}") for n in range(5)))
    shutil.copyfile(directory / "backup", folded.layout.archive)
    # Another file of that name, as a restore makes it.
    shutil.move(directory / "backup", folded.layout.archive)
    fold_once(directory)
    assert flows(directory) == 105
    sound(directory, keys())


def test_a_body_of_a_stream_is_kept_as_long_as_its_segment(tmp_path: Path) -> None:
    import asyncio

    async def scenario() -> None:
        recorder = Recorder(Recording(directory=tmp_path))
        await recorder.start()
        record = flow(READ_ROWS, id="streamed")
        spool = recorder.spool(record.id, "response")
        spool.write(b"0123456789abcdef" * 2**16)
        spool.close()
        from dataclasses import replace

        await recorder.write(replace(record, response=message(None, spool=spool.id, size=spool.size)))
        await recorder.stop()

    asyncio.run(scenario())
    (tmp_path / "hoop.duckdb").unlink()
    fold_once(tmp_path)
    [(name,)] = ask(tmp_path, "SELECT response_body FROM flows")
    assert body_of(tmp_path, name) == b"0123456789abcdef" * 2**16
    gateway = Gateway(tmp_path)
    Fold(gateway.layout, keep=DAY).run()
    assert len(list(gateway.layout.bodies.iterdir())) == 1
    Fold(gateway.layout, keep=0).run()
    assert list(gateway.layout.bodies.iterdir()) == []


def test_a_remark_is_signed_by_the_next_gateway(folded: Gateway) -> None:
    import asyncio

    directory = folded.layout.directory
    folded.layout.archive.unlink()
    fold_once(directory)
    assert ask(directory, "SELECT chain FROM events") == [(None,)]
    [(_, waiting)] = left(folded.layout)
    folded.die()

    async def next_gateway() -> None:
        recorder = Recorder(Recording(directory=directory), state=directory / "state")
        await recorder.start()
        await asyncio.to_thread(until, lambda: not list(left(folded.layout)))
        await recorder.stop()

    asyncio.run(next_gateway())
    found = ask_one(directory, "SELECT events.id, type, kind FROM events JOIN records USING (chain, seq)")
    assert found == {"id": waiting.id, "type": "recording.rebuilt", "kind": "event"}
    assert ask(directory, "SELECT count(*) FROM events") == [(1,)]


def test_the_journal_is_kept_by_the_time_that_passes_and_not_by_the_clock(
    folded: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    fold = Fold(folded.layout, keep=DAY)
    fold.run()
    count = len(folded.layout.segments())
    assert count > 3
    # The wall clock jumps a year, for files and for the process.
    later = time.time() + 365 * DAY
    for _, path in folded.layout.segments():
        os.utime(path, (later, later))
    monkeypatch.setattr(time, "time", lambda: later)
    fold.run()
    for _, path in folded.layout.segments():
        os.utime(path, (1, 1))
    fold.run()
    assert len(folded.layout.segments()) == count
    # A day passes in two halves, with another process in between.
    now += DAY / 2
    fold.run()
    fold.close()
    fold = Fold(folded.layout, keep=DAY)
    now += DAY / 2 + 1
    fold.run()
    assert len(folded.layout.segments()) == 1


def test_when_the_disk_is_short_the_oldest_go_first_and_an_event_says_so(
    folded: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [first for first, _ in folded.layout.segments()]
    answers = iter([True, True, True, False])
    monkeypatch.setattr(Kept, "is_short", lambda _: next(answers, False))
    fold = Fold(folded.layout, keep=DAY)
    fold.run()
    assert [first for first, _ in folded.layout.segments()] == before[3:]
    fold.run()
    assert [type_ for type_, _ in remarks(folded.layout.directory)] == ["recording.journal_shortened"]


def test_what_is_not_folded_is_never_let_go(folded: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "_SHARE", 1)
    monkeypatch.setattr(kept_module, "_RESERVE", 2**60)
    assert Kept(folded.layout, DAY).is_short()
    folded.journal.open()
    folded.write(flow(id="new"))
    folded.journal.open()
    with duckdb.connect(folded.layout.archive, read_only=True):
        from hoop_mitm.recording.archive_file import ArchiveBusyError

        with pytest.raises(ArchiveBusyError):
            Fold(folded.layout, keep=0).run(wait=0.1)
    fold_once(folded.layout.directory)
    assert ("new",) in ask(folded.layout.directory, "SELECT id FROM flows")
