"""What a verification says, to whom it listens, and what it makes of files that are meant to harm it."""

import base64
import json
import os
import random
import shutil
import stat

import duckdb
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoop_mitm.archive.verify import verify
from hoop_mitm.cli import main
from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import RecordingKey, RecordingKeys
from tests.archive.verify.changing import ask, change

STRANGER = RecordingKey.of(Ed25519PrivateKey.from_private_bytes(b"s" * 32))


def limits(report):
    return {limit.what for limit in report.limits}


@pytest.fixture
def keys(recorded):
    return RecordingKeys.load(recorded.path.parent.with_name(f"{recorded.path.parent.name}-state"))


def forms(key, directory):
    """All the ways in which somebody may have a public key."""
    raw = key.public.public_bytes_raw()
    pem = key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (directory / "key.pem").write_bytes(pem)
    (directory / "key.txt").write_text(f"{raw.hex()}\n")
    return [
        key.fingerprint,
        key.fingerprint.upper(),
        raw.hex(),
        base64.b64encode(raw).decode(),
        str(directory / "key.pem"),
        str(directory / "key.txt"),
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_a_key_is_known_in_every_form_and_so_are_those_that_descend_from_it(path, keys, tmp_path, which):
    for form in forms(keys.all[which], tmp_path):
        report = verify(path, keys=[form], quick=True)
        assert report.verified, report.findings
        assert "origin" not in limits(report)
        assert {chain.proven_to == chain.signed_to for chain in report.chains} == {True}


def test_a_strangers_key_is_not_the_gateways(path, keys):
    report = verify(path, keys=[STRANGER.fingerprint], quick=True)
    assert report.found == {"key.foreign": 2}
    assert [chain.proven_to for chain in report.chains] == [0, 0]
    assert verify(path, keys=[STRANGER.fingerprint, keys.all[0].fingerprint], quick=True).verified


@pytest.mark.parametrize("key", ["", "short", "z" * 64, "/nowhere/key.pem"])
def test_what_is_no_key_is_said(path, key):
    with pytest.raises(ArchiveError, match="neither the fingerprint of a recording key"):
        verify(path, keys=[key])


def test_with_key_and_heads_what_is_left_is_said(path, recorded):
    report = verify(path, keys=[recorded.keys[0]], heads=[recorded.heads])
    assert (report.verified, limits(report)) == (True, {"tail"})
    [words] = [limit.words for limit in report.limits]
    assert "kept-" in words
    assert {chain.origin: chain.heads for chain in report.chains}["gateway"] >= 8


def test_without_anything_it_says_what_would_help(path):
    report = verify(path)
    assert limits(report) == {"origin", "tail"}
    told = " ".join(limit.words for limit in report.limits)
    assert "Consistent, origin unproven" in told
    assert "A cut tail would not be seen" in told


def test_what_quick_leaves_out_is_said(path):
    report = verify(path, quick=True)
    assert "quick" in limits(report)
    assert not {"bodies", "jobs"} & report.checked.keys()


def test_nothing_is_written_and_no_trace_is_left(path):
    before, places = path.read_bytes(), sorted(path.parent.iterdir())
    path.chmod(stat.S_IRUSR)
    verify(path)
    assert (path.read_bytes(), sorted(path.parent.iterdir())) == (before, places)


def test_the_command_says_it_to_people_and_to_programs(path, recorded):
    done = CliRunner().invoke(main, ["verify", str(path), "--key", recorded.keys[0], "--heads", str(recorded.heads)])
    assert done.exit_code == 0, done.output
    assert "verified, with the limits below." in done.stdout
    assert "taken    on purpose, as signed events say" in done.stdout
    change(path, "UPDATE flows SET decision = 'allow' WHERE decision = 'deny'")
    done = CliRunner().invoke(main, ["verify", str(path)])
    assert done.exit_code == 1
    assert "broken, 1 thing is wrong" in done.stdout
    assert "flows.decision is 'allow', but the record says 'deny'." in " ".join(done.stdout.split())
    done = CliRunner().invoke(main, ["verify", str(path), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["verified"] is False
    [finding] = told["findings"]
    assert finding["what"] == "row.changed"
    assert finding["place"]["table"] == "flows"
    assert finding["place"]["column"] == "decision"
    assert finding["place"]["session"]
    assert told.keys() == {
        "file", "verified", "bundle", "findings", "found", "chains", "checked", "uncovered", "notes", "limits", "seconds",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.unlink(), "There is no recording"),
        (lambda path: path.write_text("no DuckDB file"), "is no DuckDB file|damaged"),
        (lambda path: path.write_bytes(b""), "is no DuckDB file|damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged|no DuckDB file"),
    ],
)
def test_what_cannot_be_opened_is_exit_status_3(path, make, words):
    make(path)
    with pytest.raises(ArchiveError, match=words):
        verify(path)
    assert CliRunner().invoke(main, ["verify", str(path)]).exit_code == 3


def test_a_duckdb_file_that_is_no_archive_is_broken(tmp_path):
    with duckdb.connect(tmp_path / "x.duckdb") as connection:
        connection.execute("CREATE TABLE x AS SELECT 1 AS y")
    report = verify(tmp_path / "x.duckdb")
    assert {"structure.table", "structure.extra", "structure.archive"} <= report.found.keys()


@pytest.mark.timeout(600)
def test_bytes_that_are_flipped_anywhere_end_in_words(recorded, tmp_path):
    """A disk goes bad, or a hand goes into the file past DuckDB: never verified, and never a traceback."""
    dice = random.Random(20261122)
    whole = recorded.path.read_bytes()
    for round_ in range(12):
        copy = tmp_path / f"{round_}.duckdb"
        damaged = bytearray(whole)
        for _ in range(40):
            damaged[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        copy.write_bytes(damaged)
        try:
            report = verify(copy)
        except ArchiveError:
            continue
        assert report.seconds >= 0
        if report.verified:
            with duckdb.connect(copy, read_only=True) as there, duckdb.connect(recorded.path, read_only=True) as before:
                for table in ("records", "flows", "jobs", "sessions", "events", "bodies", "checkpoints"):
                    question = f"SELECT * FROM {table} ORDER BY ALL"
                    assert there.execute(question).fetchall() == before.execute(question).fetchall()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "statement",
    [
        # Values that are larger than anybody wrote.
        "UPDATE records SET data = repeat('x', 30000000) WHERE seq = 4",
        "UPDATE records SET who = repeat('x', 30000000) WHERE seq = 4",
        "UPDATE records SET kind = repeat('x', 30000000) WHERE seq = 4",
        "UPDATE records SET digest = repeat('x', 30000000)::BLOB WHERE seq = 4",
        "UPDATE flows SET url = repeat('x', 30000000) WHERE seq = 5",
        # JSON that is deep, wrong, or numbers that are none.
        "UPDATE records SET data = repeat('[', 100000) WHERE seq = 4",
        "UPDATE records SET data = repeat('{\"a\":', 100000) WHERE seq = 4",
        "UPDATE records SET exchange = repeat('[', 100000) WHERE seq = 4",
        'UPDATE records SET data = \'{"kind":"flow","parts":[]}\' WHERE seq = 4',
        "UPDATE records SET data = '[]' WHERE seq = 4",
        "UPDATE records SET data = 'null' WHERE kind = 'genesis'",
        "UPDATE records SET seq = 9223372036854775807 WHERE seq = 4",
        "UPDATE records SET seq = 0 WHERE seq = 4",
        "UPDATE checkpoints SET seq = -5, number = -9223372036854775808 WHERE number = 2",
        "UPDATE checkpoints SET \"at\" = 'infinity' WHERE number = 2",
        "UPDATE checkpoints SET \"at\" = '-infinity' WHERE number = 2",
        "UPDATE checkpoints SET \"at\" = '290000-01-01 00:00:00+00' WHERE number = 2",
        "UPDATE checkpoints SET key = '' WHERE number = 2",
        "UPDATE flows SET started_at = 'infinity'",
        "UPDATE flows SET ended_at = '20000-01-01 00:00:00+00'",
        "UPDATE sessions SET started_at = '-infinity'",
        "UPDATE jobs SET started_at = 'infinity', ended_at = '-infinity'",
        "UPDATE removals SET first_seq = -9223372036854775808, last_seq = 9223372036854775807",
        "UPDATE journals SET held = range(100000)",
        "UPDATE bodies SET size = 9223372036854775807",
        "UPDATE bodies SET size = -1, part = -1",
        # Names that want to be SQL, or a terminal's.
        "UPDATE records SET chain = $$x' OR 1=1; DROP TABLE y; --$$ WHERE seq = 4",
        "UPDATE flows SET id = $$'; ATTACH '/etc/passwd' AS p; --$$",
        "UPDATE jobs SET key = chr(27) || ']0;owned' || chr(7)",
        "UPDATE journals SET id = chr(27) || '[2J'",
        # The same, very often.
        "INSERT INTO records SELECT records.* FROM records, range(300)",
        pytest.param("INSERT INTO records SELECT records.* FROM records, range(800)", marks=pytest.mark.exhaustive),
        "INSERT INTO checkpoints SELECT checkpoints.* FROM checkpoints, range(800)",
        "INSERT INTO removals SELECT removals.* FROM removals, range(800)",
        (
            "INSERT INTO records SELECT 'c' || range, 1, 'genesis', '{}', digest, link, NULL, NULL, NULL, NULL, NULL, NULL "
            "FROM (SELECT * FROM records LIMIT 1), range(100)"
        ),
        pytest.param(
            "INSERT INTO records SELECT 'c' || range, 1, 'genesis', '{}', digest, link, NULL, NULL, NULL, NULL, NULL, NULL "
            "FROM (SELECT * FROM records LIMIT 1), range(300)",
            marks=pytest.mark.exhaustive,
        ),
    ],
    ids=lambda statement: statement[:70],
)
def test_what_is_hostile_is_broken_in_words_and_in_time(path, statement):
    change(path, statement)
    began = sum(os.times()[:4])
    done = CliRunner().invoke(main, ["verify", str(path)])
    assert done.exit_code == 1, done.output
    # Of processor, also its workers': on a busy machine it takes as long as it takes.
    took = sum(os.times()[:4]) - began
    assert took < 30
    assert "\x1b" not in done.stdout
    assert len(done.stdout) < 500_000


def test_findings_are_counted_beyond_what_can_be_read(path):
    change(
        path, "INSERT INTO sessions SELECT sessions.* REPLACE (sessions.id || range AS id) FROM sessions, range(1000)"
    )
    report = verify(path, quick=True)
    assert report.found == {"row.extra": 6000}
    assert len(report.findings) == 200


def test_an_archive_in_which_nothing_is_recorded_says_that_nothing_is_covered(tmp_path):
    from hoop_mitm.recording.archive_file import ArchiveFile

    ArchiveFile(tmp_path / "empty.duckdb").close()
    report = verify(tmp_path / "empty.duckdb")
    assert report.verified
    assert report.chains == ()
    assert verify(tmp_path / "empty.duckdb", keys=[STRANGER.fingerprint]).found == {"key.foreign": 1}


def test_while_the_archive_is_open_elsewhere_it_waits_and_then_says_so(path):
    with duckdb.connect(path), pytest.raises(ArchiveError, match="held by another program"):
        verify(path, wait=0.2)


def test_a_copy_verifies_as_the_original(recorded, tmp_path):
    shutil.copy(recorded.path, tmp_path / "renamed.db")
    assert ask(tmp_path / "renamed.db", "SELECT count(*) FROM records") == ask(
        recorded.path, "SELECT count(*) FROM records"
    )
    assert verify(tmp_path / "renamed.db", keys=[recorded.keys[0]]).verified
