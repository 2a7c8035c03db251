import pytest

from hoop_mitm.archive.comparing import schemas
from hoop_mitm.bigquery.rows import Field


def record(*fields, mode="NULLABLE"):
    return Field("r", "RECORD", mode, fields)


A, B = Field("a", "INTEGER"), Field("b", "STRING")


@pytest.mark.parametrize(
    ("before", "after", "expected", "reordered"),
    [
        ([A, B], [A, B], [], False),
        ([A], [Field("a", "INT64")], [], False),
        ([A, B], [B, A], [], True),
        ([A], [A, B], ["+b"], False),
        ([A, B], [B], ["-a"], False),
        ([A], [Field("a", "STRING")], ["~a"], False),
        ([A], [Field("a", "INTEGER", "REPEATED")], ["~a"], False),
        ([A], [Field("a", "INTEGER", "REQUIRED")], ["~a"], False),
        ([A], [Field("A", "INTEGER")], ["~a"], False),
        ([record(A)], [record(A, B)], ["+r.b"], False),
        ([record(A, B)], [record(Field("a", "FLOAT"), B)], ["~r.a"], False),
        ([record(record(A))], [record(record(B))], ["-r.r.a", "+r.r.b"], False),
        ([Field("x", "RANGE", element="DATE")], [Field("x", "RANGE", element="TIMESTAMP")], ["~x"], False),
    ],
)
def test_columns_are_named_where_they_differ(before, after, expected, reordered):
    found = schemas.compare(before, after)
    told = [f"{'+' if not c.before else '-' if not c.after else '~'}{c.name}" for c in found.columns]
    assert (told, found.reordered) == (expected, reordered)


def test_what_is_common_is_common_inside_of_records_too():
    before, after = [record(A, B), B], [Field("b", "BYTES"), record(B, Field("c"))]
    assert schemas.common(before, after) == (record(B),)


@pytest.mark.parametrize(
    ("names", "left", "found"),
    [
        (["a"], [record(A, B)], ("a",)),
        (["R.A"], [A, record(B)], ("r.a",)),
        (["r.a", "r.b"], [A], ("r.a", "r.b")),
        (["x"], [A, record(A, B)], ()),
    ],
)
def test_columns_can_be_left_out(names, left, found):
    assert schemas.without([A, record(A, B)], names) == (tuple(left), found)


def test_a_dotted_name_is_found_but_not_inside_of_what_repeats():
    assert schemas.find([record(A)], "R.a") == (record(A), A)
    assert schemas.find([record(A, mode="REPEATED")], "r.a") is None
    assert schemas.find([A], "b") is None
