"""Streamed bodies are on the disk before they go on, and are pressed while they come."""

import gzip
import os
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import BodyCommitment
from hoop_mitm.recording.encoding import BodyNote
from hoop_mitm.recording.journal import BodyFile
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.pressing import Press
from hoop_mitm.recording.redaction import Redactor
from hoop_mitm.recording.spool import PIECE, Pressing, Spool


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make()
    return layout


def spool(layout: Layout, arrived: list[int] | None = None) -> Spool:
    return Spool(layout.spool / "flow.response", lambda _, size: arrived.append(size) if arrived is not None else None)


def pressing(layout: Layout, codings: Sequence[str] = ()) -> Pressing:
    return Pressing(layout, "flow.response", "target", lambda names: Press(Redactor(), b"k" * 32, names), codings)


def unpressed(layout: Layout, finished: tuple[BodyNote, BodyFile] | None) -> bytes:
    assert finished is not None
    note, file = finished
    data, plain = (layout.bodies / file.name).read_bytes(), b""
    for size, length in file.frames:
        plain += zstandard.decompress(data[:length], max_output_size=size)
        data = data[length:]
    assert data == b""
    commitment = BodyCommitment(file.salt)
    commitment.update(plain)
    assert note == {"hash": commitment.digest().hex(), "size": len(plain)}
    return plain


def test_each_chunk_is_in_the_file_when_write_returns(layout: Layout) -> None:
    mine = spool(layout)
    for chunk in (b"ab", b"", b"c" * 100):
        mine.write(chunk)
        assert (layout.spool / mine.id).stat().st_size == mine.size
    mine.close()
    mine.close()
    with pytest.raises(RecordingError, match="closed already"):
        mine.write(b"more")


def test_it_says_when_there_is_something_to_press(layout: Layout) -> None:
    arrived: list[int] = []
    mine = spool(layout, arrived)
    for _ in range(9):
        mine.write(bytes(PIECE // 4))
    assert arrived == [PIECE, 2 * PIECE]
    mine.close()


def test_two_streams_cannot_share_a_spool(layout: Layout) -> None:
    spool(layout).close()
    with pytest.raises(RecordingError, match="cannot be recorded"):
        spool(layout)


@pytest.mark.parametrize("steps", [[], [5_000_000], [1, 4_000_000, 9_000_000]])
def test_a_body_pressed_while_it_came_is_the_body(layout: Layout, steps: list[int]) -> None:
    body = os.urandom(9_000_000)
    mine = spool(layout)
    mine.write(body)
    mine.close()
    work = pressing(layout)
    for step in steps:
        work.advance(step)
    assert unpressed(layout, work.finish()) == body
    assert work.wire_size == len(body)


def test_an_encoding_that_is_known_only_at_the_end_is_taken_off_all_the_same(layout: Layout) -> None:
    body = os.urandom(100_000).hex().encode()
    mine = spool(layout)
    mine.write(gzip.compress(body))
    mine.close()
    work = pressing(layout)
    work.advance(5000)
    assert unpressed(layout, work.finish(["gzip"])) == body


def test_an_empty_body_leaves_no_file(layout: Layout) -> None:
    spool(layout).close()
    assert pressing(layout).finish() is None
    assert list(layout.bodies.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_fails_the_end_and_not_a_later_one(layout: Layout) -> None:
    body = os.urandom(9_000_000)
    mine = spool(layout)
    mine.write(body)
    mine.close()
    work = pressing(layout)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, hard))
    try:
        work.advance(9_000_000)
        with pytest.raises(OSError, match="File too large"):
            work.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert unpressed(layout, work.finish()) == body
