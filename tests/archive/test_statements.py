import pytest

from hoop_mitm.archive.statements import Ordering, normal, ordering


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t", "select  a\n  from t ;"),
        ("SELECT a -- why\nFROM t", "SELECT a /* because */ FROM t # end"),
        ("SELECT `a` FROM `my-project.shop.orders`", "SELECT A FROM my-project.shop.orders"),
        ("SELECT 'x'", 'SELECT "x"'),
        ("SELECT COUNT(*)", "SELECT count( * )"),
    ],
)
def test_layout_comments_case_and_quotes_say_nothing(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 1", "SELECT 2"),
        ("SELECT 'x'", "SELECT 'X'"),
        ("SELECT 'x'", "SELECT x"),
        ("SELECT a FROM shop.orders", "SELECT a FROM shop.Orders"),
        ("SELECT a, b", "SELECT a b"),
        ("SELECT 'a; b'", "SELECT 'a'; b"),
    ],
)
def test_what_means_something_else_stays_different(one, other):
    assert normal(one) != normal(other)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a FROM t", None),
        ("SELECT a FROM t ORDER BY a", ("a",)),
        ("SELECT a FROM t order  /* so */ by t.A desc NULLS LAST, 2 LIMIT 5", ("a", 2)),
        ("SELECT a FROM t ORDER BY `a b` OFFSET 3;", ("a b",)),
        ("SELECT a FROM t ORDER BY LOWER(a), b", None),
        ("FROM t |> ORDER BY a |> LIMIT 3", ("a",)),
        ("((SELECT a FROM t ORDER BY a))", ("a",)),
        ("SELECT 1; SELECT a FROM t ORDER BY a;;", ("a",)),
    ],
)
def test_the_order_of_a_result_is_its_top_level_order_by(statement, expected):
    found = ordering(statement)
    if "order" not in statement.lower():
        assert found is None
    else:
        assert found == Ordering(expected)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT SUM(a) OVER (ORDER BY b) FROM t",
        "SELECT ARRAY_AGG(a ORDER BY b) FROM t",
        "SELECT ARRAY(SELECT a FROM t ORDER BY a)",
        "SELECT * FROM (SELECT a FROM t ORDER BY a)",
        "SELECT a FROM t ORDER BY a; SELECT b FROM t",
        "(SELECT a FROM t ORDER BY a) UNION ALL (SELECT 1)",
        "FROM t |> ORDER BY a |> AGGREGATE COUNT(*)",
        "SELECT 'ORDER BY a'",
        "SELECT a -- ORDER BY a",
    ],
)
def test_an_order_by_inside_orders_nothing(statement):
    assert ordering(statement) is None
