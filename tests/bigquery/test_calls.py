"""What a script hands to procedures."""

import pytest

from hoop_mitm.bigquery.calls import hands_over_unseen_text
from hoop_mitm.bigquery.tokens import tokens


def unseen(script, *, parameters=True):
    return hands_over_unseen_text(list(tokens(script)), parameters=parameters)


@pytest.mark.parametrize(
    "script",
    [
        "SELECT 1",
        "CALL p()",
        "CALL shop.p('a', \"b\" 'c', r'd', 1, -2, 3.5, true, NULL)",
        "CALL `acme`.shop.p(@a, ?)",
        "CALL my-project-1.shop.p(DATE '2026-01-01', TIMESTAMP '2026-01-01')",
        "CALL p(CURRENT_DATE(), DATE_SUB(CURRENT_DATE(), INTERVAL 1 DAY))",
        "DECLARE n INT64; SET n = (SELECT COUNT(*) FROM t); CALL p(n); CALL p(n)",
        "DECLARE a, b DATE DEFAULT CURRENT_DATE(); CALL p(a, b)",
        "DECLARE answer STRING; CALL p('x', answer); SELECT answer",
        "DECLARE env STRING DEFAULT 'prod'; CALL p(env)",
        "DECLARE env STRING; SET env = 'prod'; CALL p(`env`)",
        # A table or column that is called so.
        "SELECT call.id, call FROM call WHERE call IN (a, b)",
        "SELECT * FROM call c JOIN x USING (id)",
        "SELECT * FROM call JOIN x USING (id)",
        "SELECT call(x)",
    ],
)
def test_what_stands_in_the_script_is_seen(script):
    assert not unseen(script)


@pytest.mark.parametrize(
    "script",
    [
        "CALL p(CONCAT('a', 'b'))",
        "CALL p('a' || 'b')",
        "CALL p(1, FORMAT('%s', x))",
        "call`acme.shop.p`((SELECT s FROM t))",
        "CALL/**/my-project-1.shop.p(CASE WHEN TRUE THEN 'a' END)",
        "CALL p(['a', x])",
        "CALL p(CAST(x AS STRING))",
        "CALL p(DATE('x') || 'y')",
        "CALL p(JSON '1')",
        "CALL p(@@query_label)",
        # Variables that hold what was put together.
        "DECLARE s STRING DEFAULT CONCAT('a', 'b'); CALL p(s)",
        "DECLARE a, s DEFAULT 'x' || 'y'; CALL p(s)",
        "DECLARE s STRING; SET s = 'a' || x; CALL p(`S`)",
        "DECLARE s STRING; SET (a, s) = (1, 'a' || x); CALL p(s)",
        "DECLARE s STRING; EXECUTE IMMEDIATE 'SELECT 1' INTO a, s; CALL p(s)",
        "DECLARE s STRING; CALL make(s); CALL p(s)",
        "BEGIN DECLARE s INT64; END; BEGIN DECLARE s STRING DEFAULT LOWER('A'); CALL p(s); END",
        "FOR r IN (SELECT CONCAT('a', 'b') AS s) DO CALL p(r.s); END FOR",
        # Of the session, or a parameter of the procedure.
        "CALL p(s)",
        "CREATE PROCEDURE q(s STRING) BEGIN CALL p(s); END",
        # Not what it is called.
        "CREATE TEMP FUNCTION DATE_ADD(a STRING) AS (a || 'b'); CALL p(DATE_ADD('a'))",
        "CALL p('a'",
        "CALL p(CALL p('a'))",
    ],
)
def test_what_is_made_at_run_time_is_not(script):
    assert unseen(script)


@pytest.mark.parametrize("script", ["CALL p(@a)", "CALL p(?)"])
def test_parameters_that_nobody_has_read_are_not_seen(script):
    assert unseen(script, parameters=False)
