"""An archive that was begun when there was no chain: what is old is said to be uncovered, what is new is covered."""

import asyncio
import tarfile
from pathlib import Path

import pytest

import tests.recording
from hoop_mitm.archive.verify import verify
from hoop_mitm.config.model import Recording
from hoop_mitm.recording import Recorder
from hoop_mitm.recording.migrating import migrate_file
from tests.archive.verify.changing import change
from tests.recording.building import QUERY, event, flow, session

OLD = Path(tests.recording.__path__[0]) / "data" / "version-1-folded.tar.gz"


@pytest.fixture
def directory(tmp_path):
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path / "recordings", filter="data")
    return next((tmp_path / "recordings").rglob("hoop.duckdb")).parent


def before(report):
    return [limit.words for limit in report.limits if limit.what == "before"]


async def record(directory):
    recorder = Recorder(Recording(directory=directory))
    await recorder.start()
    who = session()
    asked = flow(QUERY, {"query": "SELECT 1"}, {}, session=who, statement="SELECT 1")
    await recorder.write(who, asked, event(session_id=who.id))
    await recorder.stop()


def test_without_a_chain_nothing_is_covered_and_nothing_is_broken(directory):
    migrate_file(directory / "hoop.duckdb")
    report = verify(directory / "hoop.duckdb")
    assert report.verified, report.findings
    assert report.chains == ()
    assert report.uncovered.keys() >= {"flows", "events", "sessions", "jobs", "bodies"}
    assert before(report)


@pytest.mark.parametrize(("version", "covered"), [(1, False), (2, True)])
def test_what_was_migrated_with_its_chain_is_covered_as_before(tmp_path, version, covered):
    async def record_it():
        recorder = Recorder(Recording(directory=tmp_path))
        await recorder.start()
        await recorder.write(session(), event("recording.migrated", details={"from": version, "to": 3}))
        await recorder.stop()

    asyncio.run(record_it())
    path = tmp_path / "hoop.duckdb"
    assert verify(path).verified
    change(path, "INSERT INTO sessions SELECT * REPLACE ('made up' AS id) FROM sessions")
    report = verify(path)
    assert [finding.what for finding in report.findings] == (["row.extra"] if covered else [])


def test_what_comes_after_is_covered(directory):
    asyncio.run(record(directory))
    path = directory / "hoop.duckdb"
    report = verify(path)
    assert report.verified, report.findings
    assert report.uncovered["flows"] > 0 < report.checked["flows"]
    assert any("recorded without a chain" in note for note in report.notes)
    change(path, "UPDATE flows SET host = 'x' WHERE chain IS NULL")
    assert verify(path).verified
    change(path, "UPDATE flows SET host = 'x' WHERE chain IS NOT NULL")
    assert {finding.place.column for finding in verify(path).findings} == {"host"}


def test_an_old_row_cannot_stand_for_a_record(directory):
    """The one who says that a row is old must leave the record without one."""
    asyncio.run(record(directory))
    change(
        directory / "hoop.duckdb",
        "UPDATE flows SET chain = NULL WHERE chain IS NOT NULL",
        "UPDATE events SET chain = NULL, seq = 0 WHERE chain IS NOT NULL",
    )
    found = verify(directory / "hoop.duckdb")
    assert {finding.place.table for finding in found.findings if finding.what == "row.missing"} == {"flows", "events"}
