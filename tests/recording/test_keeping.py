"""What is done to an archive stands in the archive, in a chain of its own."""

from pathlib import Path

from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.keeping import ANOTHER_KEY, Keeper
from tests.recording.building import ask, ask_one
from tests.recording.evidence import sound
from tests.recording.folding import keys


def keep(path: Path, name: bytes, *messages: str) -> str:
    with ArchiveFile(path) as archive:
        archive.begin()
        keeper = Keeper(archive, keys(name).newest)
        for message in messages:
            keeper.event("retention.applied", message, {"removals": "00"}, principal=None)
        keeper.sign()
        archive.commit()
    return keeper.chain


def test_it_goes_on_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    chain = keep(path, b"a", "one", "two")
    assert chain.startswith("kept-")
    assert keep(path, b"a", "three") == chain
    assert sound(tmp_path, keys(b"a")) == {chain: {"first": 1, "last": 4, "signed": 4}}
    assert ask(tmp_path, "SELECT seq, message, type, details FROM events WHERE chain = ? ORDER BY seq", chain) == [
        (2, "one", "retention.applied", '{"removals":"00"}'),
        (3, "two", "retention.applied", '{"removals":"00"}'),
        (4, "three", "retention.applied", '{"removals":"00"}'),
    ]
    assert ask(tmp_path, "SELECT kind FROM records ORDER BY seq") == [("genesis",), *[("event",)] * 3]
    assert ask(tmp_path, "SELECT number, reason FROM checkpoints") == [(1, "kept"), (2, "kept")]


def test_another_key_begins_another_chain_that_says_what_it_comes_after(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    first = keep(path, b"a", "one")
    second = keep(path, b"b", "two")
    assert keep(path, b"b", "three") == second
    assert set(sound(tmp_path, keys(b"a", b"b"))) == {first, second}
    after = "data::JSON->'after'->>'chain' AS chain, data::JSON->'after'->>'why' AS why"
    found = ask_one(tmp_path, f"SELECT {after} FROM records WHERE kind = 'genesis' AND chain = ?", second)
    assert found == {"chain": first, "why": ANOTHER_KEY}


def test_what_is_imported_has_a_chain_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    own = keep(path, b"a", "one")
    with ArchiveFile(path) as archive:
        archive.begin()
        imported = Keeper(archive, keys(b"a").newest, imported={"file": "flows.mitm"})
        imported.sign()
        archive.commit()
    assert imported.chain != own
    assert keep(path, b"a", "two") == own
    sound(tmp_path, keys(b"a"))


def test_what_is_rolled_back_has_not_happened(tmp_path: Path) -> None:
    path = tmp_path / "hoop.duckdb"
    chain = keep(path, b"a", "one")
    with ArchiveFile(path) as archive:
        archive.begin()
        keeper = Keeper(archive, keys(b"a").newest)
        keeper.event("retention.applied", "not this time", {})
        keeper.sign()
        archive.rollback()
    assert keep(path, b"a", "two") == chain
    assert sound(tmp_path, keys(b"a"))[chain] == {"first": 1, "last": 3, "signed": 3}
