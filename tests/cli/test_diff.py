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
