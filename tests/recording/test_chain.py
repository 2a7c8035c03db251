"""The journal as a chain: whole across segments, gateways, folds and failures, and anew where its end is lost."""

import resource
from pathlib import Path
from typing import Any

import orjson
import pytest

from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import Checkpoint
from hoop_mitm.recording.beginning import LEAP
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.journal import Journal
from hoop_mitm.recording.layout import remove_segment
from tests.recording.building import SESSION, ask, event, flow, intent
from tests.recording.evidence import sound
from tests.recording.folding import Gateway, keys


def geneses(directory: Path) -> list[dict[str, Any]]:
    rows = ask(directory, "SELECT data FROM records WHERE kind = 'genesis' ORDER BY seq")
    return [orjson.loads(data) for (data,) in rows]


def whole(directory: Path, last: int, signed: int = 0) -> dict[str, dict[str, int]]:
    [identity] = (directory / "journal" / "identity").read_text().split()[:1]
    return {identity: {"first": 1, "last": last, "signed": signed}}


def test_every_record_is_in_the_chain_whatever_its_kind(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(SESSION, intent(id="a"), flow(id="b", request={"query": "SELECT 1"}, response={"rows": []}), event())
    gateway.journal.sign("minute")
    fold_once(tmp_path)
    assert sound(tmp_path, keys()) == whole(tmp_path, 6, 6)
    kinds = ["genesis", "start", "session", "flow", "flow", "event"]
    assert ask(tmp_path, "SELECT kind FROM records ORDER BY seq") == [(kind,) for kind in kinds]
    # The rows name the records that they come from.
    assert ask(tmp_path, "SELECT id, records.kind FROM flows JOIN records USING (chain, seq)") == [("b", "flow")]
    assert ask(tmp_path, "SELECT records.kind FROM events JOIN records USING (chain, seq)") == [("event",)]


def test_a_record_holds_nothing_of_a_statement_or_a_person_outside_of_its_parts(
    tmp_path: Path, gateway: Gateway
) -> None:
    gateway.fold(SESSION, flow(statement="SELECT secret_of_alice", user_agent="agent-of-alice", error="about alice"))
    for (data,) in ask(tmp_path, "SELECT data FROM records"):
        assert "alice" not in data


def test_the_chain_goes_on_across_segments_gateways_and_folds(
    tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hoop_mitm.recording.journal.SEGMENT", 60_000)
    for portion in range(3):
        for number in range(12):
            gateway.fold(flow(response={"x": str(number) * 9000}))
        gateway.journal.sign("close")
        gateway.die()
        gateway = Gateway(tmp_path)
        assert portion < 2 or len(gateway.layout.segments()) > 1
    fold_once(tmp_path)
    assert sound(tmp_path, keys()) == whole(tmp_path, 41, 40)
    assert len(geneses(tmp_path)) == 1


def test_a_checkpoint_is_folded_once_its_records_are(tmp_path: Path, gateway: Gateway) -> None:
    gateway.fold(flow())
    gateway.journal.sign("minute")
    assert fold_once(tmp_path).folded == 0
    fold_once(tmp_path)
    assert ask(tmp_path, "SELECT number, seq, reason FROM checkpoints") == [(1, 3, "minute")]
    gateway.journal.sign("close")
    gateway.die()
    fold_once(tmp_path)
    assert ask(tmp_path, "SELECT number, seq, reason FROM checkpoints") == [(1, 3, "minute"), (2, 3, "close")]
    sound(tmp_path, keys())


def test_a_commit_that_fails_leaves_no_gap_in_the_chain(tmp_path: Path, gateway: Gateway) -> None:
    gateway.write(flow(id="a"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(RecordingError):
            gateway.write(flow(id="lost"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gateway.fold(flow(id="b"))
    gateway.journal.sign("minute")
    fold_once(tmp_path)
    assert sound(tmp_path, keys()) == whole(tmp_path, 4, 4)
    assert ask(tmp_path, "SELECT id FROM flows ORDER BY seq") == [("a",), ("b",)]


def test_another_key_takes_over_under_the_signature_of_the_old_one(tmp_path: Path, gateway: Gateway) -> None:
    old, new = keys(b"k").newest, keys(b"n").newest
    gateway.write(flow())
    assert gateway.journal.use(keys(b"k", b"n"))
    assert not gateway.journal.use(keys(b"k", b"n"))
    gateway.write(flow())
    gateway.journal.sign("minute")
    fold_once(tmp_path)
    sound(tmp_path, keys(b"k", b"n"))
    [data] = [orjson.loads(data) for (data,) in ask(tmp_path, "SELECT data FROM records WHERE kind = 'key'")]
    assert (data["previous"], data["key"]) == (old.fingerprint, new.fingerprint)
    assert data["public"] == new.public.public_bytes_raw().hex()
    # The old key's last signature covers exactly the record of the change.
    assert ask(tmp_path, "SELECT seq, reason, key FROM checkpoints ORDER BY number") == [
        (4, "rotation", old.fingerprint),
        (5, "minute", new.fingerprint),
    ]


def test_a_key_that_was_rotated_while_no_gateway_ran_is_taken_up_at_the_start(tmp_path: Path, gateway: Gateway) -> None:
    gateway.die()
    journal = Journal(gateway.layout, keys(b"k", b"n"))
    journal.open()
    journal.sign("start")
    journal.close()
    fold_once(tmp_path)
    assert sound(tmp_path, keys(b"k", b"n")) == whole(tmp_path, 3, 3)
    assert ask(tmp_path, "SELECT seq, reason FROM checkpoints ORDER BY number") == [(3, "rotation"), (3, "start")]


def test_without_the_old_key_another_chain_begins(tmp_path: Path, gateway: Gateway) -> None:
    gateway.die()
    journal = Journal(gateway.layout, keys(b"n"))
    journal.open()
    journal.sign("start")
    fold_once(tmp_path)
    assert len(sound(tmp_path, keys(b"n"))) == 2
    old, new = geneses(tmp_path)
    assert new["chain"] == f"{old['chain']}.3"
    assert new["after"]["chain"] == old["chain"]
    assert new["after"]["seq"] == 2
    assert new["after"]["why"] == "the key that signed it is gone"


def lose(gateway: Gateway, how: str) -> None:
    [(_, path)] = gateway.layout.segments()
    log = path.with_name(f"{path.name}-wal")
    match how:
        case "nonsense":
            path.write_bytes(b"nonsense" * 1000)
        case "cut":
            log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
        case "gone":
            remove_segment(path)
        case "older":
            log.unlink()


@pytest.mark.parametrize("how", ["nonsense", "cut", "gone", "older"])
def test_an_end_that_is_lost_is_missed_and_another_chain_says_so(tmp_path: Path, gateway: Gateway, how: str) -> None:
    gateway.write(*(flow(id=f"before-{number}") for number in range(20)))
    signed = gateway.journal.sign("minute")
    gateway.die()
    lose(gateway, how)
    successor = Gateway(tmp_path)
    successor.fold(flow(id="then"))
    new = geneses(tmp_path)[-1]
    assert new["chain"].startswith(f"{signed.chain}.")
    assert int(new["chain"].rpartition(".")[2]) > LEAP
    assert (new["after"]["chain"], new["after"]["seq"]) == (signed.chain, signed.seq)
    assert new["after"]["head"] == signed.head.hex()
    assert new["after"]["why"]
    assert ("then",) in ask(tmp_path, "SELECT id FROM flows")
    sound(tmp_path, keys())


def test_what_was_folded_is_missed_too(tmp_path: Path, gateway: Gateway) -> None:
    gateway.fold(*(flow(id=f"before-{number}") for number in range(20)))
    gateway.die()
    lose(gateway, "cut")
    successor = Gateway(tmp_path)
    successor.fold(flow(id="then"))
    assert len(geneses(tmp_path)) == 2
    assert len(ask(tmp_path, "SELECT id FROM flows")) == 21
    sound(tmp_path, keys())


def test_the_last_checkpoint_is_noted_beside_the_segments(tmp_path: Path, gateway: Gateway) -> None:
    signed = gateway.journal.sign("minute")
    assert Checkpoint.from_json((tmp_path / "journal" / "head").read_bytes()) == signed
