"""What a session did is waited for while the recording is behind, and never said to be nothing then."""

from pathlib import Path

import pytest

from hoop_mitm.client import summary
from hoop_mitm.client.summary import summary_of
from hoop_mitm.errors import ArchiveBusy
from tests.archive.building import Builder


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(summary, "_LONGEST_WAIT_SECONDS", 0.0)


def test_it_finds_the_session(tmp_path: Path) -> None:
    builder = Builder(tmp_path / "hoop.duckdb")
    session = builder.session("nightly")
    builder.write()
    found = summary_of(builder.path, session)
    assert found
    assert found[0].name == "nightly"


def test_of_what_is_not_recorded_there_is_nothing(tmp_path: Path) -> None:
    assert summary_of(tmp_path / "hoop.duckdb", "s1") is None
    builder = Builder(tmp_path / "hoop.duckdb")
    builder.session("nightly")
    builder.write()
    assert summary_of(builder.path, "0193e4a0-1111-7000-8000-00000000000a") is None


def test_a_recording_that_is_behind_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Builder(tmp_path / "hoop.duckdb")
    session = builder.session("nightly")
    builder.write()
    monkeypatch.setattr("hoop_mitm.archive.opening.fold_beside", lambda _: 3)
    with pytest.raises(ArchiveBusy):
        summary_of(builder.path, "0193e4a0-1111-7000-8000-00000000000a")
    assert summary_of(builder.path, session), "what there is of it is told"
    builder.path.rename(tmp_path / "away")
    (tmp_path / "journal").mkdir()
    with pytest.raises(ArchiveBusy):
        summary_of(builder.path, session)
