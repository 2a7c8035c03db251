"""What a text calls, and what its words show."""

import pytest

from hoop_mitm.sql import FEATURES, understand

CALLS = [
    ("SELECT count(*), IF(a, b, c), net.HOST(x), CURRENT_DATE() FROM shop.a", "count if net.host current_date"),
    ("SELECT shop.f(1), `acme.shop.g`(2), acme-prod.shop.h(3), `SESSION_USER`()",
     "shop.f acme.shop.g acme-prod.shop.h session_user"),
    ("SELECT safe . /* x */ SUBSTR(a, 1), a-f(b)", "safe.substr f"),
    ("SELECT * FROM shop.latest(1)", "shop.latest"),
    ("INSERT INTO shop.x (a) VALUES (f(1))", "f"),
    ("CREATE TEMP FUNCTION f(a NUMERIC(3)) AS (round(a)); SELECT f(1)", "round f"),
    ("CALL ops.refresh('x')", "ops.refresh"),
    ("SELECT * FROM shop.a JOIN shop.b ON hr.f(1) WHERE NOT hr.g(2)", "hr.f hr.g"),
    ("SELECT a IN (1), x[OFFSET(0)], CAST(a AS STRING(3)), EXISTS (SELECT 1) FROM UNNEST([1]) LEFT JOIN b USING (c)",
     "cast"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), CALLS)
def test_functions(statement: str, expected: str) -> None:
    assert sorted(understand(statement, project="acme").functions) == sorted(expected.split())


SHOWN = [
    ("SELECT * FROM External_Query('us.c', 'SELECT 1')", "external_query"),
    ("SELECT * FROM `EXTERNAL_QUERY`('us.c', 'SELECT 1')", "external_query"),
    ("SELECT shop.f(1)", "persistent_function"),
    ("SELECT * FROM shop.f(1)", "table_function"),
    ("SELECT * FROM f(1)", "table_function"),
    ("SELECT net.host('a'), safe.f(1), ST_AREA(b) FROM UNNEST([1])", ""),
    ("SELECT * FROM ML.PREDICT(MODEL shop.m, TABLE shop.t)", "model"),
    ("SELECT AI.GENERATE('x')", "model"),
    ("SELECT * FROM shop.t FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", "time_travel"),
    ("SELECT * FROM CHANGES(TABLE shop.t, NULL, NULL)", "time_travel"),
    ("SELECT * FROM `shop.t_*`", "wildcard_table"),
    ("SELECT * FROM shop.`information_schema`.TABLES", "information_schema"),
    ("SELECT @@project_id", "session_variable"),
    ("SELECT @a, ?", "parameter"),
    ("SELECT * FROM _SESSION.t", "temp_object"),
    ("CREATE TEMPORARY FUNCTION f() RETURNS INT64 LANGUAGE js AS 'return 1'", "ddl javascript temp_object"),
    ("CREATE FUNCTION d.f(a INT64) RETURNS INT64 REMOTE WITH CONNECTION `us.c` OPTIONS (endpoint='https://x')",
     "ddl remote_function"),
    ("CREATE MODEL d.m OPTIONS(model_type='x') AS SELECT 1", "ddl model"),
    ("EXPORT DATA OPTIONS(uri='gs://b') AS SELECT 1", "export_data"),
    ("EXPORT MODEL d.m OPTIONS(uri='gs://b')", "export_data model"),
    ("LOAD DATA INTO d.t FROM FILES(format='CSV', uris=['gs://b'])", "load_data"),
    ("EXECUTE IMMEDIATE 'x'", "dynamic_sql"),
    ("CALL d.p()", "call persistent_function"),
    ("GRANT `r` ON TABLE d.t TO 'user:a'", "access_control"),
    ("BEGIN TRANSACTION", "transaction"),
    ("DECLARE a INT64; SELECT a", "control_flow"),
    ("SELECT 'CALL EXECUTE IMMEDIATE @@x', `@@y` -- CALL EXTERNAL_QUERY('x')\n, call, model_ FROM d.t", "call"),
    ("SELECT language, temp FROM d.t", ""),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), SHOWN)
def test_features(statement: str, expected: str) -> None:
    found = understand(statement, project="acme").features
    assert found == set(expected.split())
    assert found <= FEATURES


def test_every_feature_has_a_row() -> None:
    rows = {feature for _, expected in SHOWN for feature in expected.split()}
    assert rows | {"legacy_sql", "unqualified_name"} == FEATURES


ROUTINES = [
    ("SELECT x-hr.salary(1)", "acme.x-hr.salary acme.hr.salary"),
    ("SELECT function salary, salary(1) FROM (SELECT 1 AS function)", "acme.hr.salary"),
    ("CREATE TEMP FUNCTION salary() AS (1); SELECT salary()", ""),
    ("SELECT * FROM shop.a JOIN shop.b ON HR.Salary(1)", "acme.HR.Salary"),
    ("SELECT * FROM `acme.hr.all`(), other.hr.all(1)", "acme.hr.all other.hr.all"),
    ("SELECT count(*), net.host('a'), st_area(b), SAFE.PARSE_JSON('1')", ""),
]


@pytest.mark.parametrize(("statement", "expected"), ROUTINES)
def test_routines_are_named_as_tables_are(statement: str, expected: str) -> None:
    found = understand(statement, project="acme", default_dataset=(None, "hr"))
    assert sorted(map(str, found.routines)) == sorted(expected.split())
