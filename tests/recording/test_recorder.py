"""What the recorder has acknowledged is in the recording, exactly once, whatever happens."""

import asyncio
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.config.model import Recording
from hoop_mitm.errors import RecordingError
from hoop_mitm.recording import Owner, Recorder, Redactor
from hoop_mitm.recording.tables import BROKEN, LOST
from tests.recording.building import (
    READ_ROWS,
    SESSION,
    ask,
    ask_one,
    body_of,
    bytes_of,
    event,
    flow,
    message,
    session,
)
from tests.recording.folding import fold_what_is_left
from tests.recording.writing import STREAMED
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

ALICE, BOB = Owner("https://i#alice", "acme"), Owner("https://i#bob", "acme")


@contextlib.asynccontextmanager
async def recording(directory: Path) -> AsyncIterator[Recorder]:
    recorder = Recorder(Recording(directory=directory))
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


@contextlib.contextmanager
def writer(directory: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """A gateway's process, killed at the end at the latest."""
    command = [sys.executable, "-m", "tests.recording.writing", str(directory), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(process: subprocess.Popen[str], at_least: int) -> list[tuple[str, str]]:
    """Kill it some time after that many lines; whatever it had printed, whole lines only."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(at_least)]
    time.sleep(random.random() * 0.2)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    pairs = [(first, second) for line in lines if line.endswith("\n") for first, second in [line.split()]]
    return [pair for pair in pairs if pair[0] != "started"]


def test_records_become_visible_while_the_gateway_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(session(), flow())
            record = flow()
            await recorder.write(record)
            seen = "SELECT id FROM flows WHERE id = ?"
            await asyncio.to_thread(until, lambda: ask(tmp_path, seen, record.id))

    asyncio.run(scenario())


@pytest.mark.parametrize("attempt", [0, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (1, 2))])
def test_killed_under_load_it_has_every_acknowledged_record_exactly_once(tmp_path: Path, attempt: int) -> None:
    acked: list[tuple[str, str]] = []
    # The second life goes on in the same directory: nothing of the first may be lost by that either.
    for lines in (50 + 300 * attempt, 100):
        with writer(tmp_path, "flows") as process:
            acked += acknowledged(process, lines)

    fold_what_is_left(tmp_path)

    rows = ask(tmp_path, "SELECT id, count(*), any_value(state) FROM flows GROUP BY id")
    state = {id_: state for id_, _, state in rows}
    assert all(count == 1 for _, count, _ in rows)
    assert [id_ for word, id_ in acked if word == "intent" and id_ not in state] == []
    assert [id_ for word, id_ in acked if word == "answer" and state.get(id_) != "complete"] == []
    # What was in the air is there too, and says that nobody knows how it ended.
    assert {error for (error,) in ask(tmp_path, "SELECT error FROM flows WHERE state = 'open'")} <= {LOST}
    assert ask(tmp_path, "SELECT count(*) FROM flows WHERE response_body NOT IN (SELECT hash FROM bodies)") == [(0,)]


def test_claims_survive_a_kill_and_the_folding_of_their_records(tmp_path: Path) -> None:
    with writer(tmp_path, "flows") as process:
        acked = acknowledged(process, 60)
    fold_what_is_left(tmp_path)

    async def scenario() -> list[Owner | None]:
        async with recording(tmp_path) as recorder:
            return [recorder.owner(Resource("job", id_)) for word, id_ in acked if word == "answer"]

    owners = asyncio.run(scenario())
    assert owners
    assert set(owners) == {Owner("alice", "acme")}


def test_a_statement_that_was_sent_before_a_kill_is_on_record_with_its_text(tmp_path: Path) -> None:
    with writer(tmp_path, "intent") as process:
        [(_, id_)] = acknowledged(process, 2)
    fold_what_is_left(tmp_path)
    found = ask_one(tmp_path, "SELECT state, error, job_key FROM flows WHERE id = ?", id_)
    assert found == {"state": "open", "error": LOST, "job_key": id_}
    job = ask_one(tmp_path, "SELECT statement, state FROM jobs WHERE key = ?", id_)
    assert job == {"statement": "DELETE FROM t WHERE true", "state": "UNKNOWN"}


def test_a_stream_that_a_kill_broke_is_truncated_with_what_the_client_had_got(tmp_path: Path) -> None:
    with writer(tmp_path, "stream") as process:
        [(_, id_)] = acknowledged(process, 2)

    async def next_gateway() -> None:
        async with recording(tmp_path):
            pass

    asyncio.run(next_gateway())
    # Its own fold did not have its turn, if the dead gateway's was at it for long.
    fold_what_is_left(tmp_path)

    found = ask_one(tmp_path, "SELECT state, error, response_size, response_body FROM flows WHERE id = ?", id_)
    assert (found["state"], found["error"], found["response_size"]) == ("truncated", BROKEN, 9 * len(STREAMED))
    assert body_of(tmp_path, found["response_body"]) == STREAMED * 9
    assert list((tmp_path / "journal/spool").iterdir()) == []
    # It stays with the journal for as long as that is kept.
    assert len(list((tmp_path / "journal/bodies").iterdir())) == 1


def test_a_streamed_body_is_recorded_and_its_spool_is_removed(tmp_path: Path) -> None:
    chunks = [os.urandom(700_000) for _ in range(14)] + [b"secret-of-the-hour" * 3]

    async def scenario() -> str:
        async with recording(tmp_path) as recorder:
            recorder.redactor.protect("secret-of-the-hour")
            record = flow(READ_ROWS)
            spool = recorder.spool(record.id, "response")
            for chunk in chunks:
                spool.write(chunk)
                await asyncio.sleep(0.01)
            spool.close()
            await recorder.write(replace(record, response=message(None, spool=spool.id, size=spool.size)))
            assert not (tmp_path / "journal/spool" / spool.id).exists()
            return record.id

    id_ = asyncio.run(scenario())
    digest = ask(tmp_path, "SELECT response_body FROM flows WHERE id = ?", id_)[0][0]
    body = body_of(tmp_path, digest)
    assert body[:-54] == b"".join(chunks[:-1])
    assert body[-54:] == b"[redacted********]" * 3
    assert max(size for (size,) in ask(tmp_path, "SELECT size FROM bodies")) <= 4 * 2**20


def test_two_gateways_do_not_share_a_directory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path):
            with pytest.raises(RecordingError, match=rf"process {os.getpid()}\) records into .* of its own"):
                await Recorder(Recording(directory=tmp_path)).start()
        async with recording(tmp_path):
            pass

    asyncio.run(scenario())


def test_a_disk_that_is_full_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    """The limit on file sizes stands in for a disk that is full: every write fails, for the operating system's reasons."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            before, refused, after = flow(), flow(), flow()
            await recorder.write(before)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
            try:
                for _ in range(2):
                    with pytest.raises(RecordingError, match="Requests are refused until"):
                        await recorder.write(refused, owns={Resource("job", "j"): ALICE})
                assert not recorder.healthy
                with pytest.raises(RecordingError, match="cannot be recorded"):
                    recorder.spool(refused.id, "request").write(b"ab")
                await asyncio.sleep(1.5)
                assert not recorder.healthy
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert recorder.owner(Resource("job", "j")) is None
            await asyncio.to_thread(until, lambda: recorder.healthy)
            await recorder.write(after)
        found = ask(tmp_path, "SELECT id FROM flows")
        assert {(before.id,), (after.id,)} <= set(found)
        assert len(found) == len(set(found))

    asyncio.run(scenario())


def test_a_directory_that_cannot_be_written_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    directory = tmp_path / "recordings"

    async def scenario() -> None:
        async with recording(directory) as recorder:
            await recorder.write(flow())
            shutil.rmtree(directory)
            directory.write_text("in the way")
            with pytest.raises(RecordingError):
                await recorder.write(flow())
            directory.unlink()
            after = flow()
            await recorder.write(after)
            assert recorder.healthy
        assert (after.id,) in ask(directory, "SELECT id FROM flows")

    asyncio.run(scenario())


def test_a_gateway_does_not_start_where_it_cannot_record(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = Recorder(Recording(directory=tmp_path / "file"))
    with pytest.raises(RecordingError, match="cannot hold recordings"):
        asyncio.run(recorder.start())
    with pytest.raises(RecordingError, match="not running"):
        asyncio.run(recorder.write(flow()))
    assert not recorder.healthy


class SlowRedactor(Redactor):
    """One that is not done with a certain body before it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.was_told: set[bool] = set()

    def body(self, data: bytes) -> bytes:
        if b"takes-its-time" in data:
            self.begun.set()
            self.was_told.add(self.go_on.wait(60))
        return super().body(data)


def test_the_event_loop_and_all_others_go_on_while_a_large_body_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        redactor = SlowRedactor()
        recorder = Recorder(Recording(directory=tmp_path), redactor)
        await recorder.start()
        try:
            body = b"takes-its-time" + os.urandom(2**20) * 24
            large = asyncio.create_task(recorder.write(replace(flow(), response=message(body))))
            await asyncio.to_thread(redactor.begun.wait, 60)
            for _ in range(50):
                await recorder.write(flow())
            assert not large.done()
            redactor.go_on.set()
            await large
            assert redactor.was_told == {True}
        finally:
            redactor.go_on.set()
            await recorder.stop()

    asyncio.run(scenario())


def test_a_record_that_cannot_be_prepared_fails_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            bad = replace(flow(), response=message(None, spool="no-such-spool.response"))
            good = flow()
            results = await asyncio.gather(recorder.write(bad), recorder.write(good), return_exceptions=True)
            assert isinstance(results[0], RecordingError)
            assert results[1] is None
            assert recorder.healthy

    asyncio.run(scenario())


def test_a_body_with_eleven_hundred_encodings_is_recorded_as_it_came(tmp_path: Path) -> None:
    body, encodings = os.urandom(5 * 2**20), ("content-encoding", ",".join(["zstd"] * 1100))

    async def scenario() -> str:
        async with recording(tmp_path) as recorder:
            record = flow(READ_ROWS)
            spool = recorder.spool(record.id, "request", [encodings])
            spool.write(body)
            spool.close()
            request = message(None, encodings, spool=spool.id, size=spool.size)
            await asyncio.wait_for(recorder.write(replace(record, request=request)), 60)
            assert recorder.healthy
            return record.id

    id_ = asyncio.run(scenario())
    found = ask_one(tmp_path, "SELECT request_body, error FROM flows WHERE id = ?", id_)
    assert body_of(tmp_path, found["request_body"]) == body
    assert "it has 1100 content encodings" in found["error"]


class FragileRedactor(Redactor):
    """One that some bodies are too much for, in a way that nobody has thought of."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def body(self, data: bytes) -> bytes:
        if b"too-much-s3cret" in data:
            raise self._error
        return super().body(data)


@pytest.mark.parametrize(
    "error",
    [RecursionError("s3cret"), pytest.param(MemoryError(), marks=pytest.mark.exhaustive), SystemExit(1)],
    ids=repr,
)
@pytest.mark.parametrize("size", [0, 2**20, 9 * 2**20], ids=["writer", "press", "spool"])
def test_whatever_fails_in_a_thread_fails_one_record(
    tmp_path: Path, error: BaseException, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"too-much-s3cret" + b"x" * size

    async def scenario() -> None:
        recorder = Recorder(Recording(directory=tmp_path), FragileRedactor(error))
        await recorder.start()
        try:
            bad = replace(flow(), response=message(body))
            if size > 2**22:
                spool = recorder.spool(bad.id, "response")
                spool.write(body)
                spool.close()
                bad = replace(bad, response=message(None, spool=spool.id))
            with pytest.raises(RecordingError, match="cannot be recorded"):
                await asyncio.wait_for(recorder.write(bad), 60)
            await asyncio.wait_for(recorder.write(flow()), 60)
            await asyncio.wait_for(recorder.write(replace(flow(), response=message(b"x" * 2**20))), 60)
            assert recorder.healthy
        finally:
            await recorder.stop()

    asyncio.run(scenario())
    assert type(error).__name__ in caplog.text
    assert "s3cret" not in caplog.text
    assert "test_recorder.py:" in caplog.text


def test_a_record_that_cannot_be_committed_fails_alone(tmp_path: Path) -> None:
    unwritable = Owner("alice\udcff", "acme")

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            good = [flow() for _ in range(20)]
            writes = [recorder.write(record, owns={Resource("job", record.id): ALICE}) for record in good]
            writes.insert(10, recorder.write(flow(id="bad"), owns={Resource("job", "bad"): unwritable}))
            results = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 60)
            assert isinstance(results.pop(10), RecordingError)
            assert results == [None] * 20
            assert recorder.healthy
            assert recorder.owner(Resource("job", "bad")) is None
            assert recorder.owner(Resource("job", good[-1].id)) == ALICE
        assert sorted(id_ for (id_,) in ask(tmp_path, "SELECT id FROM flows")) == sorted(each.id for each in good)

    asyncio.run(scenario())


def test_a_client_that_gives_up_does_not_disturb_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            tasks = [asyncio.create_task(recorder.write(flow())) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await recorder.write(flow())

    asyncio.run(scenario())


def test_stopping_leaves_nobody_waiting(tmp_path: Path) -> None:
    async def scenario() -> None:
        recorder = Recorder(Recording(directory=tmp_path))
        await recorder.start()

        async def client() -> str:
            while True:
                record = flow()
                try:
                    await recorder.write(record)
                except RecordingError as error:
                    return str(error)
                written.append(record.id)

        written: list[str] = []
        clients = [asyncio.create_task(client()) for _ in range(8)]
        await asyncio.to_thread(until, lambda: len(written) > 100)
        await recorder.stop()
        words = await asyncio.wait_for(asyncio.gather(*clients), 60)
        assert all("recorder" in each for each in words)
        found = {id_ for (id_,) in await asyncio.to_thread(ask, tmp_path, "SELECT id FROM flows")}
        assert set(written) <= found

    asyncio.run(scenario())


def test_the_first_claim_stands_and_an_upload_id_is_written_nowhere(tmp_path: Path) -> None:
    job, upload = Resource("job", "acme:job1"), Resource("upload", "ABPtcPr-the-upload-id")

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(flow(), owns={job: ALICE, upload: ALICE})
            await recorder.write(flow(), owns={job: BOB})
            assert recorder.owner(job) == ALICE
        async with recording(tmp_path) as recorder:
            assert recorder.owner(job) == ALICE
            assert recorder.owner(upload) == ALICE
            assert recorder.owner(Resource("upload", "other")) is None

    asyncio.run(scenario())
    assert b"ABPtcPr" not in bytes_of(tmp_path)


def test_recording_off_keeps_refusals_and_claims_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(flow(level="off"), owns={Resource("job", "a:b"): ALICE})
            await recorder.write(flow(level="off", state="refused", id="refused-one"))
            assert recorder.owner(Resource("job", "a:b")) == ALICE

    asyncio.run(scenario())
    assert ask(tmp_path, "SELECT id FROM flows") == [("refused-one",)]


@pytest.mark.parametrize("level", ["statements", "metadata"])
def test_lower_levels_write_no_bodies_at_all(tmp_path: Path, level: str) -> None:
    marker = "marker-in-a-row-4711"

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            answer = {
                "jobComplete": True,
                "jobReference": {"projectId": "acme", "jobId": "j1", "location": "EU"},
                "totalRows": "1",
                "totalBytesProcessed": "1024",
                "rows": [{"f": [{"v": marker}]}],
            }
            request = {"query": "SELECT 'statement-4711'", "labels": {"team": "x"}}
            await recorder.write(flow(request=request, response=answer, statement=request["query"], level=level))

    asyncio.run(scenario())
    job = ask_one(tmp_path, "SELECT id, statement, row_count, bytes_processed FROM jobs")
    kept = "SELECT 'statement-4711'" if level == "statements" else None
    assert job == {"id": "j1", "statement": kept, "row_count": 1, "bytes_processed": 1024}
    everything = bytes_of(tmp_path)
    assert marker.encode() not in everything
    assert (b"statement-4711" in everything) is (level == "statements")


def test_events_and_sessions_are_recorded(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(SESSION, event(details={"reason": "expired"}, principal=SESSION.principal))

    asyncio.run(scenario())
    found = ask_one(tmp_path, "SELECT type, subject, details FROM events")
    assert found == {"type": "identity.refused", "subject": "alice", "details": '{"reason":"expired"}'}
    assert ask(tmp_path, "SELECT id, groups FROM sessions") == [(SESSION.id, ["analysts"])]


@pytest.mark.parametrize("name", ["", "../escape", "a/b"])
def test_a_spool_cannot_be_placed_elsewhere(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            with pytest.raises(RecordingError, match="cannot be called"):
                recorder.spool(name, "request")

    asyncio.run(scenario())


def test_a_stream_below_full_lies_on_no_disk_and_its_size_is_known(tmp_path: Path) -> None:
    secret = b"rows of somebody " * 1000

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            record = flow(READ_ROWS, level="metadata")
            spool = recorder.spool(record.id, "response", kept=False)
            spool.write(secret)
            assert list((tmp_path / "journal/spool").iterdir()) == []
            spool.close()
            with pytest.raises(RecordingError, match="closed already"):
                spool.write(secret)
            await recorder.write(replace(record, response=message(None, spool=spool.id, size=spool.size)))

    asyncio.run(scenario())
    assert ask(tmp_path, "SELECT response_size, response_body FROM flows") == [(len(secret), None)]
    assert secret[:60] not in bytes_of(tmp_path)


def test_a_stream_that_must_be_recorded_and_was_not_kept_does_not_pass(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            record = flow(READ_ROWS)
            spool = recorder.spool(record.id, "response", kept=False)
            with pytest.raises(RecordingError, match="was not kept"):
                await recorder.write(replace(record, response=message(None, spool=spool.id)))

    asyncio.run(scenario())


def test_a_change_of_what_is_recorded_is_recorded(tmp_path: Path) -> None:
    runs: list[dict[str, Any]] = [
        {"sales": "full", "hr": "metadata"},
        {"sales": "full", "hr": "metadata"},
        {"sales": "off", "hr": "full", "new": "off"},
        {"hr": "full"},
        {"sales": "full", "hr": "full"},
    ]

    async def scenario(levels: dict[str, Any]) -> None:
        async with recording(tmp_path) as recorder:
            await recorder.note_levels(levels)

    for levels in runs:
        asyncio.run(scenario(levels))
    found = ask(tmp_path, "SELECT details FROM events WHERE type = 'recording.level_changed' ORDER BY seq")
    assert [json.loads(details) for (details,) in found] == [
        {"connection": "sales", "old": "full", "new": "off"},
        {"connection": "hr", "old": "metadata", "new": "full"},
        {"connection": "sales", "old": "off", "new": "full"},
    ]
