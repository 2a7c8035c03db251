"""Folding: everything once, whoever reads, whatever is killed, whatever a record holds."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import split
from hoop_mitm.recording import fold as fold_module
from hoop_mitm.recording.fold import Fold, FoldReport, fold_once
from hoop_mitm.recording.journal import Entry
from hoop_mitm.recording.layout import Hold, is_held
from hoop_mitm.recording.preparing import prepare
from hoop_mitm.recording.redaction import Redactor
from hoop_mitm.recording.tables import LOST
from tests.recording.building import SESSION, ask, ask_one, event, flow, intent, reading
from tests.recording.folding import KEY, Gateway, write_over
from tests.waiting import until


def flows(directory: Path) -> list[tuple[str, str]]:
    return ask(directory, "SELECT id, state FROM flows ORDER BY seq")


#: A fold with all the time in the world to wait for its turn at the end.
PATIENT = "import sys; from hoop_mitm.recording import fold; fold._LAST_PATIENCE = 60.0; sys.exit(fold.main())"


def fold_process(directory: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PATIENT, str(directory), *more], stdin=subprocess.PIPE)


def test_records_are_folded_once_however_often_it_is_asked(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(SESSION, flow(id="a"), event(id="e"))
    assert fold_once(tmp_path) == FoldReport(folded=5, remaining=0)
    assert fold_once(tmp_path) == FoldReport()
    gateway.write(flow(id="b"))
    assert fold_once(tmp_path) == FoldReport(folded=1, remaining=0)
    assert flows(tmp_path) == [("a", "complete"), ("b", "complete")]
    assert ask(tmp_path, "SELECT id FROM events") == [("e",)]


def test_where_nothing_was_recorded_nothing_is_folded(tmp_path: Path) -> None:
    assert fold_once(tmp_path) == FoldReport()
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_what_is_not_there_just_now_is_not_replaced(tmp_path: Path, gateway: Gateway) -> None:
    """To a disk that is not mounted, say: what was folded is on it."""
    archive, disk = gateway.layout.archive, tmp_path / "disk"
    gateway.fold(SESSION, flow(id="a"))
    disk.mkdir()
    archive.rename(disk / "archive.duckdb")
    archive.symlink_to(disk / "archive.duckdb")
    disk.rename(tmp_path / "not mounted")
    with pytest.raises(RecordingError, match=rf"is a link to {disk}/archive.duckdb, which is not there: is its disk"):
        gateway.fold(flow(id="b"))
    assert archive.is_symlink()
    assert not disk.exists()
    (tmp_path / "not mounted").rename(disk)
    assert fold_once(tmp_path) == FoldReport(folded=1, remaining=0)
    assert flows(tmp_path) == [("a", "complete"), ("b", "complete")]


@pytest.mark.timeout(600)
def test_a_fold_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path, gateway: Gateway) -> None:
    wanted = []
    for portion in range(4):
        batch = [flow(response={"rows": [portion, number]}) for number in range(1500)]
        wanted += [record.id for record in batch]
        gateway.write(*batch)
        with fold_process(tmp_path, "--interval", "0.01") as process:
            until(lambda: is_held(gateway.layout.fold_lock))
            time.sleep(portion * 0.25)
            process.send_signal(signal.SIGKILL)
    fold_once(tmp_path)
    assert [id_ for id_, _ in flows(tmp_path)] == wanted
    assert ask(tmp_path, "SELECT count(*) FROM bodies") == [(6000,)]
    assert ask(tmp_path, "SELECT count(*) FROM bodies GROUP BY hash, part HAVING count(*) > 1") == []


def test_a_reader_delays_the_fold_and_loses_nothing(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(id="a"))
    fold_once(tmp_path)
    gateway.write(flow(id="b"), flow(id="c"))
    with reading(tmp_path) as reader:
        assert fold_once(tmp_path, wait=0.2) == FoldReport(folded=0, remaining=2)
        assert reader.execute("SELECT id FROM flows").fetchall() == [("a",)]
    assert fold_once(tmp_path) == FoldReport(folded=2, remaining=0)


def test_only_one_folds_at_a_time_and_the_other_says_what_is_missing(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(id="a"))
    fold_once(tmp_path)
    hold = Hold(gateway.layout.fold_lock)
    assert hold.take()
    assert fold_once(tmp_path, wait=0.1).remaining == 0
    gateway.write(flow(id="b"))
    assert fold_once(tmp_path, wait=0.1) == FoldReport(folded=0, remaining=1)
    hold.release()


def test_it_ends_with_its_gateway_after_a_last_fold(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(id="a"), intent(id="b"))
    with fold_process(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(b"goodbye\n")
        process.stdin.close()
        assert process.wait(60) == 0
    assert flows(tmp_path) == [("a", "complete"), ("b", "open")]


@pytest.mark.timeout(600)
def test_one_that_is_told_to_end_while_another_folds_still_has_its_turn(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(id="a"))
    hold = Hold(gateway.layout.fold_lock)
    assert hold.take()
    with fold_process(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(b"goodbye\n")
        process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        hold.release()
        assert process.wait(60) == 0
    assert flows(tmp_path) == [("a", "complete")]


def test_a_young_intent_waits_for_its_answer_and_is_written_once(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(intent(id="a"), flow(id="b"))
    assert fold_once(tmp_path) == FoldReport(folded=3, remaining=1)
    assert flows(tmp_path) == [("b", "complete")]
    gateway.write(flow(id="a"))
    assert fold_once(tmp_path) == FoldReport(folded=2, remaining=0)
    assert sorted(flows(tmp_path)) == [("a", "complete"), ("b", "complete")]


def test_what_came_after_an_intent_that_was_held_is_in_the_chain_once(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(intent(id="a"), flow(id="b"))
    fold_once(tmp_path)
    gateway.die()
    # Nothing but what was held is left to fold.
    assert fold_once(tmp_path).remaining == 0
    fold_once(tmp_path)
    assert ask(tmp_path, "SELECT seq FROM records GROUP BY seq HAVING count(*) > 1") == []


def test_an_intent_becomes_visible_when_its_answer_is_long_in_coming(
    tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.write(intent(id="a"))
    fold = Fold(gateway.layout)
    assert fold.run().remaining == 1
    later = time.monotonic() + fold_module.YOUNG + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert fold.run() == FoldReport(folded=1, remaining=0)
    assert ask(tmp_path, "SELECT state, error FROM flows") == [("open", None)]
    gateway.write(flow(id="a"))
    assert fold.run() == FoldReport(folded=1, remaining=0)
    assert flows(tmp_path) == [("a", "complete")]


def test_the_intents_of_a_dead_gateway_say_that_nobody_knows(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(intent(id="a"), flow(id="b"))
    gateway.die()
    fold_once(tmp_path)
    assert ask(tmp_path, "SELECT id, state, error FROM flows ORDER BY id") == [
        ("a", "open", LOST),
        ("b", "complete", None),
    ]


def test_a_new_gateway_gives_up_the_intents_of_the_one_before_but_not_its_own(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(intent(id="a"))
    gateway.die()
    successor = Gateway(tmp_path)
    successor.write(intent(id="b"))
    fold = Fold(successor.layout)
    fold.run()
    assert ask(tmp_path, "SELECT id, state, error FROM flows") == [("a", "open", LOST)]


def test_an_archive_that_was_removed_is_made_again_from_what_the_journal_still_holds(
    tmp_path: Path, gateway: Gateway
) -> None:
    fold = Fold(gateway.layout)
    gateway.write(flow(id="a", response={"a": 1}))
    fold.run()
    (tmp_path / "hoop.duckdb").unlink()
    gateway.write(flow(id="b"))
    fold.run()
    assert flows(tmp_path) == [("a", "complete"), ("b", "complete")]
    assert ask(tmp_path, "SELECT count(*) FROM bodies") == [(1,)]


def test_a_journal_that_was_moved_away_does_not_confuse_the_archive(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(*(flow() for _ in range(5)))
    fold_once(tmp_path)
    gateway.die()
    (tmp_path / "journal").rename(tmp_path / "old")
    Gateway(tmp_path).write(flow(id="new"))
    fold_once(tmp_path)
    assert len(flows(tmp_path)) == 6


def test_a_clock_that_goes_backwards_changes_neither_order_nor_number(tmp_path: Path, gateway: Gateway) -> None:
    from datetime import timedelta

    late = flow(id="b")
    early = flow(
        id="a", started_at=late.started_at - timedelta(days=400), ended_at=late.started_at - timedelta(days=401)
    )
    gateway.write(late)
    gateway.write(early)
    fold_once(tmp_path)
    assert flows(tmp_path) == [("b", "complete"), ("a", "complete")]


def test_a_damaged_segment_is_reported_and_the_rest_is_folded(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(id="a"))
    gateway.die()
    for path in gateway.layout.journal.glob("0*.sqlite*"):
        path.write_bytes(b"nonsense" * 1000)
    Gateway(tmp_path).write(flow(id="b"))
    fold_once(tmp_path)
    assert flows(tmp_path) == [("b", "complete")]
    found = ask_one(tmp_path, "SELECT type, message FROM events")
    assert found["type"] == "recording.damaged"
    assert "set aside" in found["message"]


BAD = {
    "no JSON": ("flow", b"{no json"),
    "nothing": ("flow", b"{}"),
    "a number that is too large": ("flow", (b'"status":200', b'"status":99999999')),
    "another type": ("flow", (b'"session":{', b'"session":{"id":7,"x":{},"y":{')),
    "an event without an id": ("event", b'{"id": null}'),
    "no object": ("salvage", b"[]"),
}


@pytest.mark.parametrize(("kind", "data"), BAD.values(), ids=BAD)
def test_a_record_that_cannot_be_folded_does_not_hold_up_the_others(
    tmp_path: Path, gateway: Gateway, kind: str, data: bytes | tuple[bytes, bytes]
) -> None:
    gateway.write(*(flow(id=f"before-{number:02}") for number in range(20)))
    good = prepare(flow(id="bad"), Redactor(), KEY)
    gateway.journal.append([good])
    broken = data if isinstance(data, bytes) else skeleton(good).replace(*data)
    assert broken != skeleton(good)
    write_over(gateway.layout.segments()[-1][1], gateway.journal.last, kind=kind, data=broken)
    gateway.write(*(flow(id=f"then-{number:02}") for number in range(20)))
    fold_once(tmp_path)
    assert [id_ for id_, _ in flows(tmp_path)] == [f"{word}-{n:02}" for word in ("before", "then") for n in range(20)]
    assert ask(tmp_path, "SELECT type FROM events") == [("recording.damaged",)]
    # The chain is not what is missing.
    assert ask(tmp_path, "SELECT count(*), max(seq) FROM records") == [(43, 43)]


def skeleton(entry: Entry) -> bytes:
    return split(entry.kind, entry.note)[0]


def test_strings_may_hold_anything(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(statement="SELECT '\x00 \udcff 日本 \U0001f600'", user_agent="a\x00b", response=b"\x00\xff"))
    fold_once(tmp_path)
    found = ask_one(tmp_path, "SELECT user_agent, statement FROM flows JOIN jobs ON jobs.key = flows.job_key")
    assert found == {"user_agent": "a\x00b", "statement": "SELECT '\x00 \\udcff 日本 \U0001f600'"}


def test_segments_go_once_they_are_folded(tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.journal.SEGMENT", 50_000)
    for number in range(20):
        gateway.write(flow(id=f"{number:02}", response={"x": str(number) * 9000}))
    assert len(gateway.layout.segments()) > 1
    # Who only reads leaves the journal as it is.
    fold_once(tmp_path)
    assert len(gateway.layout.segments()) > 1
    Fold(gateway.layout, keep=0).run()
    assert len(gateway.layout.segments()) == 1
    assert len(flows(tmp_path)) == 20


def test_a_body_of_many_parts_is_folded_in_order(tmp_path: Path, gateway: Gateway) -> None:
    import os

    from tests.recording.building import body_of

    body = os.urandom(9 * 2**20)
    gateway.write(flow(id="a", response=body), flow(id="b", response=body))
    fold_once(tmp_path)
    [(digest,)] = ask(tmp_path, "SELECT DISTINCT response_body FROM flows")
    assert body_of(tmp_path, digest) == body
    assert ask(tmp_path, "SELECT part, size FROM bodies ORDER BY part") == [(0, 2**22), (1, 2**22), (2, 2**20)]
