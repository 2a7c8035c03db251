"""What is passed over without a second look is nothing but what is plainly right."""

import pytest

from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.report import Findings
from hoop_mitm.archive.verify.sieve import COLUMNS, Easy, easy_ones
from hoop_mitm.archive.verify.spans import spans
from tests.archive.verify.changing import change, other, schema

FLOWS = schema()["flows"]


def easy(path) -> Easy:
    with File(path) as file:
        [span] = next(some for chain, some in spans(file, Findings()).items() if not chain.startswith("kept-"))
        return easy_ones(file, span)


def test_most_exchanges_are_passed_over(path):
    found = easy(path)
    assert len(found.seqs) >= 9
    assert found.bodies.num_rows >= 9
    assert found.sessions.num_rows >= 3
    assert found.intents.num_rows >= 1


def test_every_column_is_compared():
    assert FLOWS.keys() == COLUMNS


@pytest.mark.parametrize("column", sorted(COLUMNS - {"job_key", "chain"}))
def test_none_is_passed_over_whose_row_says_something_else(path, column):
    """All but the intents without a row, which is another's matter."""
    change(path, f'UPDATE flows SET "{column}" = {other(column, FLOWS[column][0])}')
    found = easy(path)
    if column == "seq":
        found.seqs -= set()
    assert found.seqs <= {each["seq"] for each in found.intents.to_pylist()} if found.intents else not found.seqs


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO flows FROM flows",
        "UPDATE records SET data = 'no JSON' WHERE kind = 'flow'",
        "UPDATE records SET statement = NULL WHERE kind = 'flow'",
        "UPDATE records SET kind = 'event' WHERE kind = 'flow'",
        "ALTER TABLE flows ADD COLUMN more VARCHAR",
        "DELETE FROM flows WHERE state <> 'open'",
    ],
)
def test_none_is_passed_over_where_anything_is_odd(path, statement):
    change(path, statement)
    found = easy(path)
    assert not found.seqs or found.seqs == {each["seq"] for each in found.intents.to_pylist()}
