"""Views as two releases of DuckDB tell them, and views that only look alike."""

import pytest

from hoop_mitm.archive.verify.definitions import mean_the_same

VIEW = "CREATE VIEW v AS {};"
#: As DuckDB 1.5 and 2.0 tell the same view.
ALIKE = [
    ("SELECT a FROM t", "SELECT a FROM t"),
    (
        "SELECT a FROM t LEFT JOIN u ON ((u.a = t.a)) LEFT JOIN v ON ((v.a = t.a)) WHERE (t.x = 1)",
        "SELECT a FROM ((t LEFT JOIN u ON ((u.a = t.a))) LEFT JOIN v ON ((v.a = t.a))) WHERE (t.x = 1)",
    ),
    (
        "SELECT a FROM t WHERE ((x = 1) AND (s NOT IN ('A', 'B')))",
        "SELECT a FROM t WHERE ((x = 1) AND (NOT (s IN ('A', 'B'))))",
    ),
    (
        "SELECT a FROM ((SELECT * FROM x) UNION ALL (SELECT * FROM y)) AS r INNER JOIN t ON ((t.a = r.a))",
        "SELECT a FROM (((SELECT * FROM x) UNION ALL (SELECT * FROM y)) AS r INNER JOIN t ON ((t.a = r.a)))",
    ),
]
DIFFERENT = [
    ("SELECT a FROM t", "SELECT a FROM u"),
    ("SELECT a FROM t WHERE (a AND (b OR c))", "SELECT a FROM t WHERE ((a AND b) OR c)"),
    ("SELECT a FROM t WHERE (NOT (a AND b))", "SELECT a FROM t WHERE ((NOT a) AND b)"),
    ("SELECT a FROM t LEFT JOIN u ON ((u.a = t.a))", "SELECT a FROM t INNER JOIN u ON ((u.a = t.a))"),
    ("SELECT a FROM t LEFT JOIN u ON ((u.a = t.a))", "SELECT a FROM u LEFT JOIN t ON ((u.a = t.a))"),
    ("SELECT a FROM t WHERE (s NOT IN ('A', 'B'))", "SELECT a FROM t WHERE (s IN ('A', 'B'))"),
    ("SELECT count(*) FROM t", "SELECT count(*) FILTER (WHERE x) FROM t"),
    ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a LIMIT 1"),
    ("SELECT a FROM (SELECT a FROM t)", "SELECT a FROM (SELECT a FROM t WHERE x)"),
    ("SELECT 'a' FROM t", "SELECT 'A' FROM t"),
    ("SELECT a FROM t", "no SQL ("),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_brackets_that_change_nothing_are_looked_through(one, other):
    assert mean_the_same(VIEW.format(one), VIEW.format(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_whatever_a_view_computes_counts(one, other):
    assert not mean_the_same(VIEW.format(one), VIEW.format(other))
