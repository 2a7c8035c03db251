import pytest

from hoop_mitm.archive.comparing.varying import columns


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT CURRENT_TIMESTAMP() AS now, id FROM t", {"now": "CURRENT_TIMESTAMP()"}),
        ("SELECT id, CURRENT_DATE AS day FROM t", {"day": "CURRENT_DATE()"}),
        ("SELECT TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), made, DAY) AS age FROM t", {"age": "CURRENT_TIMESTAMP()"}),
        ("SELECT x.who, 1 AS one FROM (SELECT SESSION_USER() AS who) AS x", {"who": "SESSION_USER()"}),
        ("WITH a AS (SELECT id, RAND() AS r FROM t) SELECT * FROM a", {"r": "RAND()"}),
        ("WITH a AS (SELECT GENERATE_UUID() AS u FROM t) SELECT UPPER(u) AS v FROM a", {"v": "GENERATE_UUID()"}),
        ("SELECT *, CURRENT_TIME() AS at FROM t", {"at": "CURRENT_TIME()"}),
        ("SELECT 1 AS a UNION ALL SELECT RAND()", {"a": "RAND()"}),
        ("SELECT 1, RAND(), 2 AS b, CURRENT_DATE()", {"f1_": "RAND()", "f2_": "CURRENT_DATE()"}),
        ("DECLARE x INT64; SELECT RAND() AS r", {"r": "RAND()"}),
        # Not certain, or none.
        ("SELECT *, RAND() FROM t", {}),
        ("SELECT id FROM t WHERE made < CURRENT_TIMESTAMP()", {}),
        ("SELECT 'RAND()' AS a, `RAND` AS b FROM t", {}),
        ("SELECT r FROM (SELECT RAND() AS r) JOIN t ON true", {}),
        ("SELECT RAND( AS", {}),
        ("INSERT INTO t SELECT RAND()", {}),
    ],
)
def test_columns_that_always_differ_are_found_where_that_is_certain(statement, expected):
    assert columns(statement) == expected


def test_other_functions_can_be_named():
    assert columns("SELECT shop.made_up() AS a, 1 AS b", ("MADE_UP()",)) == {"a": "MADE_UP()"}
