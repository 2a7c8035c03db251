"""What changed between two sessions of a real client, through the real gateway: each change is named, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from uuid_utils import uuid7

from hoop_mitm.archive import SessionDiff, diff
from tests.gateways import RunningGateway

pytestmark = pytest.mark.timeout(600)

ASKING = Path(__file__).with_name("asking.py")

QUIET = "SELECT id, name FROM planted.people ORDER BY id"
BY_ID = "SELECT id, place FROM planted.people WHERE id < 100"
COUNT = "SELECT COUNT(*) AS n FROM planted.people WHERE id < {}"
SUM = "SELECT SUM(id) AS total FROM planted.people WHERE id < 50"
WIDE = "SELECT LENGTH(padding) AS n FROM planted.wide WHERE id = 1"
NOW = "SELECT 1 AS one, CURRENT_TIMESTAMP() AS at, SESSION_USER() AS who"

MADE = [
    "CREATE SCHEMA IF NOT EXISTS planted",
    """CREATE OR REPLACE TABLE planted.people AS
    SELECT id, CONCAT('p', id) AS name, STRUCT(STRUCT('Rome' AS city, [id, id + 1] AS codes) AS address, 1.5 AS score) AS place
    FROM UNNEST(GENERATE_ARRAY(1, 40)) AS id""",
    "CREATE OR REPLACE TABLE planted.wide AS SELECT 1 AS id, REPEAT('x', 1000) AS padding",
]


def ask(gateway: RunningGateway, *statements: str, user: str = "alice") -> str:
    """A session in which a client asked these, whatever came of them."""
    session = str(uuid7())
    done = subprocess.run(
        [sys.executable, str(ASKING), *statements],
        env=gateway.environment(user, session=session),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(statements)
    return session


def compared(gateway: RunningGateway, before: str, after: str) -> SessionDiff:
    with gateway.folded() as archive:
        return diff(archive, archive.find(before), archive.find(after))


def named(found: SessionDiff) -> list[tuple[str, str, tuple[str, ...]]]:
    """Change, the beginning of the statement, differences; of what is not the same."""
    return [
        (job.change, ((job.after or job.before).statement or "")[:20], job.differences)
        for job in found.jobs
        if job.change != "same" or job.unknown
    ]


@pytest.fixture(scope="module")
def before(gateway: RunningGateway) -> str:
    ask(gateway, *MADE)
    return ask(gateway, QUIET, BY_ID, COUNT.format(10), SUM, WIDE, NOW, "table acme.planted.people")


def again(gateway: RunningGateway, *changes: str, **instead: str) -> str:
    """The same session once more, after these changes to the data; which are undone afterwards."""
    asked = {"QUIET": QUIET, "BY_ID": BY_ID, "COUNT": COUNT.format(10), "SUM": SUM, "WIDE": WIDE, "NOW": NOW}
    asked |= {"TABLE": "table acme.planted.people"} | instead
    try:
        if changes:
            ask(gateway, *changes)
        return ask(gateway, *filter(None, asked.values()))
    finally:
        if changes:
            ask(gateway, *MADE)


def test_nothing_changed(gateway, before):
    found = compared(gateway, before, again(gateway))
    assert (found.outcome, named(found)) == ("same", [])
    [now] = [job for job in found.jobs if (job.after.statement or "") == NOW]
    assert now.remarks == (
        "Not compared: at (computed from CURRENT_TIMESTAMP()).",
        "Not compared: who (computed from SESSION_USER()).",
    )


def test_a_row_that_was_added(gateway, before):
    row = "INSERT INTO planted.people SELECT 99, 'new', STRUCT(STRUCT('Oslo' AS city, [1] AS codes) AS address, 1.5 AS score)"
    found = compared(gateway, before, again(gateway, row))
    assert named(found) == [
        ("changed", QUIET[:20], ("rows",)),
        ("changed", BY_ID[:20], ("rows",)),
        ("changed", "", ("rows",)),
    ]
    for job in found.jobs:
        if job.change == "changed":
            assert (job.rows.added, job.rows.removed, job.rows.changed, job.rows.reordered) == (1, 0, 0, False)
            assert job.rows.samples[0].after["id"] == 99


def test_a_row_that_was_removed(gateway, before):
    found = compared(gateway, before, again(gateway, "DELETE FROM planted.people WHERE id = 40"))
    counted = {(job.rows.added, job.rows.removed, job.rows.changed) for job in found.jobs if job.change == "changed"}
    # The sum of ids is another too, in its one row.
    assert counted == {(0, 1, 0), (0, 0, 1)}
    assert [differences for _, _, differences in named(found)] == [("rows",)] * 4


def test_a_change_in_a_nested_field(gateway, before):
    change = """UPDATE planted.people SET place = STRUCT(STRUCT('Bonn' AS city, [id, id + 1] AS codes) AS address, 1.5 AS score)
    WHERE id = 7"""
    found = compared(gateway, before, again(gateway, change))
    assert named(found) == [("changed", BY_ID[:20], ("rows",)), ("changed", "", ("rows",))]
    for job in found.jobs:
        if job.change == "changed":
            [sample] = job.rows.samples
            assert (job.rows.key, job.rows.changed, sample.cells) == (("id",), 1, ("place.address.city",))


def test_a_column_of_another_type(gateway, before):
    change = (
        "CREATE OR REPLACE TABLE planted.people AS SELECT * REPLACE (CAST(name AS BYTES) AS name) FROM planted.people"
    )
    found = compared(gateway, before, again(gateway, change, TABLE=""))
    [changed, gone] = named(found)
    assert changed == ("changed", QUIET[:20], ("schema",))
    assert gone[0] == "removed"
    [column] = found.jobs[0].schema.columns
    assert (column.name, column.before.type, column.after.type) == ("name", "STRING", "BYTES")


def test_a_statement_that_moved(gateway, before):
    session = ask(gateway, SUM, QUIET, BY_ID, COUNT.format(10), WIDE, NOW, "table acme.planted.people")
    assert named(compared(gateway, before, session)) == [("changed", SUM[:20], ("moved",))]


def test_an_edited_literal(gateway, before):
    found = compared(gateway, before, again(gateway, COUNT=COUNT.format(10).replace("< 10", "<= 9")))
    assert named(found) == [("changed", COUNT[:20], ("statement",))]
    found = compared(gateway, before, again(gateway, SUM=SUM.replace("50", "500")))
    assert named(found) == [("changed", SUM[:20], ("literals",))]
    [job] = [job for job in found.jobs if job.change == "changed"]
    assert [(piece.kind, piece.text) for piece in job.statement if piece.kind != "same"] == [
        ("removed", "50"),
        ("added", "500"),
    ]


def test_a_higher_cost(gateway, before):
    grown = "INSERT INTO planted.wide SELECT id, REPEAT('y', 1000000) FROM UNNEST(GENERATE_ARRAY(2, 20)) AS id"
    found = compared(gateway, before, again(gateway, grown))
    assert named(found) == [("changed", WIDE[:20], ("cost",))]
    [cost] = [figure for job in found.jobs if job.change == "changed" for figure in job.figures if figure.beyond][:1]
    assert cost.name == "bytes_billed"
    assert cost.after > cost.before


def test_a_new_denial(gateway, before):
    """Two principals: what a job of one left behind is not the other's."""
    with gateway.folded() as archive:
        left = archive.show(archive.find(before)).jobs[0].destination
    statement = f"SELECT COUNT(*) AS n FROM `{left}`"
    one, other = (ask(gateway, "SELECT 1 AS one", statement, user=user) for user in ("alice", "bob"))
    found = compared(gateway, one, other)
    assert named(found) == [("changed", statement[:20], ("verdict",))]
    [job] = [job for job in found.jobs if job.change == "changed"]
    assert (job.before.verdict.decision, job.after.verdict.decision) == ("allow", "deny")
