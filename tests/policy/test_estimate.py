"""What BigQuery bills for what it processes."""

import pytest

from hoop_mitm.bigquery import TableRef
from hoop_mitm.policy import Estimate

MIB = 2**20
A, B = TableRef("p", "d", "a"), TableRef("p", "d", "b")


@pytest.mark.parametrize(
    ("processed", "tables", "billed"),
    [
        (0, (), 0),
        (0, (A,), 0),
        (1, (), 10 * MIB),
        (1, (A,), 10 * MIB),
        (1, (A, B), 20 * MIB),
        (10 * MIB + 1, (A,), 11 * MIB),
        (30 * MIB, (A, B), 30 * MIB),
    ],
)
def test_whole_mib_and_at_least_ten_a_table(processed: int, tables: tuple[TableRef, ...], billed: int) -> None:
    assert Estimate(processed, "SELECT", tables).billed_bytes == billed


@pytest.mark.parametrize(
    ("kind", "accuracy", "is_bound"),
    [
        ("SELECT", "PRECISE", True),
        ("SELECT", "UPPER_BOUND", True),
        ("SELECT", "LOWER_BOUND", False),
        ("SELECT", "UNKNOWN", False),
        ("SELECT", "SOMETHING_NEW", False),
        ("SCRIPT", "PRECISE", False),
        ("CALL", "PRECISE", False),
    ],
)
def test_only_what_cannot_become_more_is_a_bound(kind: str, accuracy: str, is_bound: bool) -> None:
    assert Estimate(1, kind, accuracy=accuracy).is_bound == is_bound
