import json

import pytest

from tests.archive.building import NOON, columns, seconds, table_ref

SCHEMA = columns(id="INTEGER", v="STRING")


@pytest.fixture
def two(recording):
    def build(after, extra=()):
        for side, rows in enumerate(([(1, "a"), (2, "b")], after)):
            at = NOON + seconds(3600 * side)
            session = recording.builder.session(f"run{side}", at=at)
            recording.builder.asked(session, "SELECT id, v FROM t", SCHEMA, rows, at=at, took=side + 1)
        for statement in extra:
            recording.builder.job(session, statement, at=at + seconds(5), referenced_tables=[table_ref("acme.shop.t")])
        return recording

    return build


def test_the_same_is_exit_0(two):
    recording = two([(2, "b"), (1, "a")])
    assert "Same: 1 job, no difference." in recording.run("diff", "run0", "run1").stdout
    assert json.loads(recording.run("diff", "run0", "run1", "--json").stdout)["same"] is True


def test_different_is_exit_1_and_named(two):
    recording = two([(1, "a"), (2, "x"), (3, "c")], ["SELECT new"])
    output = recording.run("diff", "@last~1", "@last", expect=1).stdout
    for words in (
        "~ #1 → #1  1 row added, 1 row changed",
        "b → x",
        "id (key)",
        "1.0 s → 2.0 s",
        "+ #2  only in B",
        "SELECT new",
        "1 changed, 1 added",
    ):
        assert words in output
    found = json.loads(recording.run("diff", "@last~1", "@last", "--json", expect=1).stdout)
    assert (found["same"], [job["change"] for job in found["jobs"]]) == (False, ["changed", "added"])
    assert (found["a"]["name"], found["b"]["name"]) == ("run0", "run1")
    assert found["jobs"][0]["b"]["duration_ms"] == 2000
    rows = found["jobs"][0]["rows"]
    assert (rows["added"], rows["removed"], rows["changed"], rows["key"]) == (1, 0, 1, ["id"])


def test_the_summary_comes_first(two):
    lines = two([(1, "a"), (2, "x")], ["SELECT new"]).run("diff", "run0", "run1", expect=1).stdout.splitlines()
    assert lines[3:6] == ["Different: 1 changed, 1 added.", "  1 job with other rows", "  in all: 1 row changed"]


def test_what_could_not_be_compared_is_neither_same_nor_different(recording):
    for side in (0, 1):
        session = recording.builder.session(f"run{side}", at=NOON + seconds(side))
        key = recording.builder.job(session, "SELECT 1", row_count=3)
        recording.builder.flow(session, job_key=key, level="metadata")
    output = recording.run("diff", "run0", "run1", expect=1).stdout
    assert "No difference was found, and not everything could be compared" in output
    assert "level metadata" in output
    assert json.loads(recording.run("diff", "run0", "run1", "--json", "--no-exit-code").stdout)["outcome"] == "unknown"


def test_keys_columns_and_tolerances_are_options(two):
    recording = two([(1, "x"), (2, "b")])
    for options, code in (
        (["--ignore", "v"], 0),
        (["--ignore", "w"], 1),
        (["--no-exit-code"], 0),
        (["--float-tolerance", "1e-9", "--cost-tolerance", "50", "--all-columns"], 1),
    ):
        recording.run("diff", "run0", "run1", *options, expect=code)
    found = json.loads(recording.run("diff", "run0", "run1", "--key", "v", "--json", expect=1).stdout)["jobs"][0][
        "rows"
    ]
    assert (found["key"], found["key_given"], found["added"], found["removed"]) == (["v"], True, 1, 1)
    output = recording.run("diff", "run0", "run1", "--ignore", "v").stdout
    assert "Not compared: v (--ignore)." in output


def test_sessions_of_two_recordings(two, tmp_path):
    recording = two([(1, "a")])
    recording.builder.write()
    other = tmp_path / "other" / "hoop.duckdb"
    other.parent.mkdir()
    other.write_bytes(recording.path.read_bytes())
    for options, code in ((["run1", "run1"], 0), (["run0", "run1"], 1)):
        recording.run("diff", *options, "--db-b", str(other.parent), expect=code)
        recording.run("diff", *options, "--db-a", str(other), expect=code)
    assert recording.run("diff", "run0", "run1", "--db-a", str(tmp_path / "none"), expect=3).stdout == ""


def test_a_page_is_written_for_its_owner_only(two, tmp_path):
    recording, path = two([(1, "a"), (2, "x")]), tmp_path / "diff.html"
    recording.run("diff", "run0", "run1", "--html", str(path), expect=1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "1 row changed" in path.read_text()
    assert recording.run("diff", "run0", "run1", "--html", "-", expect=1).stdout.startswith("<!doctype html>")
    recording.run("diff", "run0", "run1", "--html", "-", "--json", expect=2)


def test_the_page_is_not_written_over_a_recording(two):
    recording = two([(1, "a"), (2, "x")])
    recording.run("diff", "run0", "run1", expect=1)
    before = recording.path.read_bytes()
    for name in (
        recording.path,
        recording.path.with_name("hoop.duckdb.wal"),
        recording.path.parent / "journal" / "diff.html",
    ):
        refused = recording.run("diff", "run0", "run1", "--html", str(name), expect=2)
        assert "recording that is read" in refused.stderr
    assert recording.path.read_bytes() == before


@pytest.mark.parametrize("option", ["--cost-tolerance", "--float-tolerance"])
def test_what_is_no_number_is_refused(two, option):
    two([(1, "a")]).run("diff", "run0", "run1", option, "nan", expect=2)


def test_a_literal_that_was_edited_is_marked_without_colour(recording):
    for side in (0, 1):
        session = recording.builder.session(f"run{side}", at=NOON + seconds(side))
        recording.builder.job(session, f"SELECT {side + 41}", fingerprint="f" * 16, row_count=0)
    output = recording.run("diff", "run0", "run1", expect=1).stdout
    assert "~ #1 → #1  literals edited" in output
    assert "SELECT [-41-]{+42+}" in output


def test_turned_around_it_is_removed(two):
    recording = two([(1, "a"), (2, "b")], ["SELECT new"])
    assert "- #2  only in A" in recording.run("diff", "run1", "run0", expect=1).stdout


@pytest.mark.parametrize(
    ("arguments", "code"), [([], 2), (["run0"], 2), (["run0", "zzz"], 2), (["--db", "/none", "a", "b"], 3)]
)
def test_what_cannot_be_compared_is_no_difference(two, arguments, code):
    result = two([]).run("diff", *arguments, expect=code)
    assert result.stdout == ""


def test_nothing_recorded_steers_the_terminal(recording):
    evil = "\x1b[2J\u202e"
    for side in (0, 1):
        session = recording.builder.session(evil, at=NOON + seconds(side))
        recording.builder.asked(session, f"SELECT '{evil}'", columns(a="STRING"), [(f"{evil}{side}",)])
    output = recording.run("diff", "@last~1", "@last", expect=1).stdout
    assert not set(output) & set("\x1b\u202e")
