import time

import pytest

from hoop_mitm.bigquery.statement_types import statement_types


@pytest.mark.parametrize(
    ("statement", "types"),
    [
        ("SELECT 1", ("SELECT",)),
        ("  -- why\n/* DELETE */ select * from t;", ("SELECT",)),
        ("(SELECT 1) UNION ALL (SELECT 2)", ("SELECT",)),
        ("WITH d AS (SELECT 1) SELECT * FROM d", ("SELECT",)),
        ("FROM t |> WHERE x > 1", ("SELECT",)),
        ("DELETE FROM t WHERE name = 'DROP; TABLE'", ("DELETE",)),
        ("delete t where true", ("DELETE",)),
        ("INSERT INTO t SELECT * FROM u", ("INSERT",)),
        ("UPDATE t SET a = CASE WHEN b THEN 1 ELSE 2 END WHERE true", ("UPDATE",)),
        ("MERGE t USING u ON t.id = u.id WHEN MATCHED THEN DELETE", ("MERGE",)),
        ("TRUNCATE TABLE t", ("TRUNCATE_TABLE",)),
        ("CREATE TABLE t (x INT64)", ("CREATE_TABLE",)),
        ("CREATE OR REPLACE TEMP TABLE `a.b.c` AS SELECT 1", ("CREATE_TABLE_AS_SELECT",)),
        ("CREATE TABLE IF NOT EXISTS t CLONE u", ("CREATE_TABLE",)),
        ("CREATE TABLE FUNCTION f(x INT64) AS SELECT 1", ("CREATE_TABLE_FUNCTION",)),
        ("CREATE EXTERNAL TABLE t OPTIONS (format = 'CSV')", ("CREATE_EXTERNAL_TABLE",)),
        ("CREATE SNAPSHOT TABLE t CLONE u", ("CREATE_SNAPSHOT_TABLE",)),
        ("CREATE VIEW v AS SELECT 1", ("CREATE_VIEW",)),
        ("create materialized view v as select 1", ("CREATE_MATERIALIZED_VIEW",)),
        ("CREATE OR REPLACE ROW ACCESS POLICY p ON t FILTER USING (true)", ("CREATE_ROW_ACCESS_POLICY",)),
        ("DROP ALL ROW ACCESS POLICIES ON t", ("DROP_ALL_ROW_ACCESS_POLICIES",)),
        ("DROP TABLE IF EXISTS t", ("DROP_TABLE",)),
        ("DROP SCHEMA s CASCADE", ("DROP_SCHEMA",)),
        ("ALTER TABLE t ADD COLUMN x INT64", ("ALTER_TABLE",)),
        ("EXPORT DATA OPTIONS (uri = 'gs://x/*') AS SELECT 1", ("EXPORT_DATA",)),
        ("LOAD DATA INTO t FROM FILES (uris = ['x'])", ("LOAD_DATA",)),
        ("CALL p(1)", ("CALL",)),
        ("GRANT `roles/x` ON SCHEMA s TO 'user:a@b.c'", ("GRANT",)),
        ("BEGIN TRANSACTION", ("BEGIN_TRANSACTION",)),
        ("SELECT 1; DELETE FROM t WHERE true", ("SCRIPT", "SELECT", "DELETE")),
        ("DECLARE x INT64 DEFAULT 1; DROP TABLE t;", ("SCRIPT", "DROP_TABLE")),
        ("BEGIN DELETE FROM t WHERE true; END", ("SCRIPT", "DELETE")),
        ("BEGIN TRANSACTION; INSERT t VALUES (1); COMMIT;", ("SCRIPT", "BEGIN_TRANSACTION", "INSERT", "COMMIT_TRANSACTION")),
        ("IF (SELECT count(*) FROM t) > 1 THEN TRUNCATE TABLE t; ELSE SELECT 1; END IF", ("SCRIPT", "TRUNCATE_TABLE", "SELECT")),
        ("WHILE true DO UPDATE t SET a = 1 WHERE true; END WHILE", ("SCRIPT", "UPDATE")),
        ("LOOP DROP TABLE t; END LOOP", ("SCRIPT", "DROP_TABLE")),
        ("EXECUTE IMMEDIATE 'DROP TABLE t'", ("SCRIPT",)),
        ("SELEC 1", ()),
        ("'DELETE FROM t'", ()),
        ("", ()),
        (";;", ()),
        ("CREATE", ()),
        ("EXPORT", ()),
        ("BEGIN; SELECT 1; ROLLBACK", ("SCRIPT", "SELECT", "ROLLBACK_TRANSACTION")),
        ("SET x = CASE WHEN a THEN 1 ELSE 2 END; CASE WHEN b THEN DELETE t WHERE a; END CASE", ("SCRIPT", "DELETE")),
    ],
)  # fmt: skip
def test_the_type_is_bigquerys_word_by_the_first_words(statement, types):
    assert statement_types(statement) == types


@pytest.mark.parametrize(
    "piece", ["SET x = CASE WHEN a THEN b ELSE c ", "BEGIN ", "(", ";", "IF a THEN ", "CREATE OR "]
)
def test_it_takes_time_by_the_length_of_the_text_alone(piece):
    def seconds(times):
        begin = time.process_time()
        statement_types(piece * times)
        return time.process_time() - begin

    # Ten times as much; a hundred times the time would be the square.
    assert min(seconds(40_000) for _ in range(3)) < 60 * max(min(seconds(4_000) for _ in range(3)), 0.002)
