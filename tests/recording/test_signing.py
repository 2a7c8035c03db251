"""When the recorder signs: at its start, after a while, after many records, at its end, and when the key changes."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.config.model import FileSink, Recording
from hoop_mitm.errors import ConfigError
from hoop_mitm.evidence import Checkpoint, RecordingKeys
from hoop_mitm.recording import Recorder
from hoop_mitm.recording import recorder as recorder_module
from hoop_mitm.recording.layout import Layout
from tests import waiting
from tests.recording.building import ask, flow
from tests.recording.evidence import sound
from tests.recording.folding import fold_what_is_left

pytestmark = pytest.mark.timeout(600)


@contextlib.asynccontextmanager
async def recording(directory: Path, **config: Any) -> AsyncIterator[Recorder]:
    recorder = Recorder(Recording(directory=directory, **config), state=directory / "state")
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(waiting.until, condition)


def reasons(directory: Path) -> list[tuple[str, int]]:
    return ask(directory, "SELECT reason, seq FROM checkpoints ORDER BY number")


def head(directory: Path) -> Checkpoint:
    return Checkpoint.from_json(Layout(directory).head.read_bytes())


def test_at_the_start_and_at_the_end_everything_is_signed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(flow())

    asyncio.run(scenario())
    asyncio.run(scenario())
    assert reasons(tmp_path) == [("start", 2), ("close", 3), ("start", 4), ("close", 5)]
    sound(tmp_path, RecordingKeys.load(tmp_path / "state"))


def test_within_a_minute_everything_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MINUTE", 1.0)

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(flow())
            await until(lambda: head(tmp_path).seq == 3)
            # Nothing new is nothing to sign.
            await asyncio.sleep(2.5)
            assert head(tmp_path).number == 2

    asyncio.run(scenario())
    assert reasons(tmp_path) == [("start", 2), ("minute", 3)]


def test_after_so_many_records_everything_is_signed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path, checkpoint_every=10) as recorder:
            for _ in range(25):
                await recorder.write(flow())

    asyncio.run(scenario())
    assert reasons(tmp_path) == [("start", 2), ("records", 12), ("records", 22), ("close", 27)]


def test_what_a_killed_gateway_left_unsigned_its_successor_signs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.recording.writing", str(tmp_path), "flows"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)

    async def scenario() -> None:
        recorder = Recorder(Recording(directory=tmp_path))
        await recorder.start()
        await recorder.stop()

    asyncio.run(scenario())
    fold_what_is_left(tmp_path)
    [chain] = sound(tmp_path, RecordingKeys.load(tmp_path / "journal" / "keys")).values()
    assert chain["last"] == chain["signed"] > 50
    assert [reason for reason, _ in reasons(tmp_path)] == ["start", "start"]


def test_a_key_that_is_added_meanwhile_signs_from_then_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(flow())
            new = RecordingKeys.rotate(tmp_path / "state").newest.fingerprint
            await until(lambda: head(tmp_path).reason == "rotation")
            await recorder.write(flow())
        assert head(tmp_path).key == new

    asyncio.run(scenario())
    keys = RecordingKeys.load(tmp_path / "state")
    sound(tmp_path, keys)
    assert ask(tmp_path, "SELECT reason, key FROM checkpoints ORDER BY number") == [
        ("start", keys.all[0].fingerprint),
        ("rotation", keys.all[0].fingerprint),
        ("close", keys.all[1].fingerprint),
    ]


def test_a_key_that_others_can_read_is_not_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            # As others can read it, it comes: else it might be taken up before.
            state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
            shutil.copytree(state, elsewhere)
            RecordingKeys.rotate(elsewhere)
            made = max(elsewhere.glob("recording-*.pem"))
            made.chmod(0o644)
            newest = made.rename(state / made.name)
            await until(lambda: "the last one goes on signing" in caplog.text)
            await recorder.write(flow())
            assert recorder.healthy
            newest.chmod(0o600)
            await until(lambda: head(tmp_path).reason == "rotation")

    asyncio.run(scenario())
    assert caplog.text.count("the last one goes on signing") == 1


def test_a_recorder_whose_key_others_can_read_is_not_made(tmp_path: Path) -> None:
    RecordingKeys.load_or_create(tmp_path / "state")
    for path in (tmp_path / "state").iterdir():
        path.chmod(0o640)
    with pytest.raises(ConfigError, match="other users can read"):
        Recorder(Recording(directory=tmp_path), state=tmp_path / "state")


def test_its_start_names_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with recording(tmp_path):
            pass

    caplog.set_level("INFO")
    asyncio.run(scenario())
    assert RecordingKeys.load(tmp_path / "state").newest.fingerprint in caplog.text


def test_a_new_segment_is_begun_when_it_is_asked_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path)

    async def scenario() -> None:
        async with recording(tmp_path) as recorder:
            await recorder.write(flow())
            before = layout.segments()[-1][0]
            os.close(os.open(layout.rotate, os.O_CREAT))
            await until(lambda: not layout.rotate.exists())
            assert layout.segments()[-1][0] > before
            await recorder.write(flow())

    asyncio.run(scenario())
    sound(tmp_path, RecordingKeys.load(tmp_path / "state"))
    assert len(ask(tmp_path, "SELECT id FROM flows")) == 2


def test_heads_reach_their_sink_and_a_failing_one_is_an_event(tmp_path: Path) -> None:
    good, bad = tmp_path / "heads.jsonl", tmp_path / "missing" / "heads.jsonl"
    heads = tuple(FileSink(type="file", path=path) for path in (good, bad))

    async def scenario() -> None:
        async with recording(tmp_path, heads=heads, fold_interval="0s") as recorder:
            await until(lambda: bool(ask(tmp_path, "SELECT 1 FROM events WHERE type = 'heads.failing'")))
            bad.parent.mkdir()
            await until(lambda: bool(ask(tmp_path, "SELECT 1 FROM events WHERE type = 'heads.delivered'")))
            await recorder.write(flow())

    asyncio.run(scenario())
    assert good.read_text() == bad.read_text()
    signed = [Checkpoint.from_json(line) for line in good.read_text().splitlines()]
    assert [(each.reason, each.seq) for each in signed] == reasons(tmp_path)
