"""What a statement does: verb, kinds, tables read and written, by its text."""

import pytest

from hoop_mitm.sql import FEATURES, StatementFacts, understand


def facts(statement: str, **more) -> StatementFacts:
    return understand(statement, project="acme", **more)


# Statement, kinds, tables read, tables written.
READS = [
    ("SELECT 1", "SELECT", ""),
    ("select * from `other-project.shop.orders`", "SELECT", "other-project.shop.orders"),
    ("SELECT * FROM other-project.shop.orders", "SELECT", "other-project.shop.orders"),
    ("SELECT * FROM `acme`.shop.`events_*`", "SELECT", "acme.shop.events_*"),
    ("SELECT * FROM `acme.shop`.orders JOIN shop.`orders` USING (id)", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM `example.com:acme.shop.orders`", "SELECT", "example.com:acme.shop.orders"),
    ("SELECT * FROM shop.2026_orders", "SELECT", "acme.shop.2026_orders"),
    ("SELECT * FROM shop /* the */ . -- shop's\n orders", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM shop.INFORMATION_SCHEMA.TABLES", "SELECT", "acme.shop.INFORMATION_SCHEMA.TABLES"),
    ("SELECT * FROM `acme.region-us.information_schema.jobs`", "SELECT", "acme.region-us.INFORMATION_SCHEMA.JOBS"),
    ("SELECT * FROM INFORMATION_SCHEMA.SCHEMATA", "SELECT", "acme..INFORMATION_SCHEMA.SCHEMATA"),
    ("WITH c AS (SELECT * FROM shop.customers) SELECT * FROM c, C AS d", "SELECT", "acme.shop.customers"),
    ("WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT * FROM r", "SELECT", ""),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", "SELECT", "acme..b"),
    ("SELECT * FROM (WITH o AS (SELECT 1) SELECT * FROM o), o", "SELECT", "acme..o"),
    ("SELECT * FROM shop.orders o, o.items, UNNEST(o.tags)", "SELECT", "acme.shop.orders"),
    ("SELECT ARRAY(SELECT name FROM o.items) FROM shop.orders AS o", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM shop.orders AS shop, (SELECT * FROM shop.a)", "SELECT", "acme.shop.orders acme.shop.a"),
    ("SELECT (SELECT max(id) FROM shop.b) FROM shop.a WHERE EXISTS (SELECT 1 FROM shop.c)", "SELECT",
     "acme.shop.a acme.shop.b acme.shop.c"),
    ("(SELECT * FROM shop.a UNION ALL SELECT * FROM shop.b) EXCEPT DISTINCT SELECT * FROM shop.c", "SELECT",
     "acme.shop.a acme.shop.b acme.shop.c"),
    ("FROM shop.orders |> WHERE total > 1 |> JOIN shop.items USING (id) |> AGGREGATE COUNT(*) GROUP BY id", "SELECT",
     "acme.shop.orders acme.shop.items"),
    ("FROM shop.orders |> SET a = f(1), b = 2 |> DROP c, d |> RENAME e AS g |> LIMIT 3", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01'", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM APPENDS(TABLE shop.orders, NULL, NULL)", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM shop.latest(1, TABLE shop.orders)", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM ML.PREDICT(MODEL shop.m, (SELECT * FROM shop.orders))", "SELECT",
     "acme.shop.m acme.shop.orders"),
    ("SELECT * FROM ML.EVALUATE(MODEL shop.m, TABLE shop.orders)", "SELECT", "acme.shop.m acme.shop.orders"),
    ("SELECT * FROM shop.orders PIVOT(SUM(total) FOR state IN ('a', 'b'))", "SELECT", "acme.shop.orders"),
    ("SELECT * FROM shop.orders TABLESAMPLE SYSTEM (10 PERCENT)", "SELECT", "acme.shop.orders"),
    ("SELECT ';', \"; DROP TABLE shop.a\", '''\n;''', r'\\\\', rb\"x\", b'y', 'a' 'b' FROM shop.orders", "SELECT",
     "acme.shop.orders"),
    ("SELECT `delete`, `drop table x` FROM shop.`update`", "SELECT", "acme.shop.update"),
    ("SELECT @p, ?, @@project_id, 0xFF, .5, 1., 1e3, 1e-3, 1.5e-3 FROM shop.orders", "SELECT", "acme.shop.orders"),
    ("SELECT CASE WHEN a THEN update ELSE delete END FROM shop.orders", "SELECT", "acme.shop.orders"),
    ("ASSERT (SELECT COUNT(*) FROM shop.orders) > CAST('1' AS INT64) AS 'no orders'", "ASSERT", "acme.shop.orders"),
    ("CREATE TEMP FUNCTION f(x INT64) AS ((SELECT max(id) + x FROM shop.a)); SELECT f(1) FROM shop.b",
     "CREATE_FUNCTION SELECT", "acme.shop.a acme.shop.b"),
    ("CREATE TEMP FUNCTION f(x STRING) RETURNS STRING LANGUAGE js AS r'''return x;'''; SELECT f('a')",
     "CREATE_FUNCTION SELECT", ""),
    ("SELECT 1;", "SELECT", ""),
    (";; SELECT * FROM shop.a ;; SELECT * FROM shop.b", "SCRIPT SELECT", "acme.shop.a acme.shop.b"),
    ("DECLARE a, b ARRAY<STRING(10)> DEFAULT ['x']; SET a = (SELECT AS STRUCT 1); SET (a, b) = (1, 2); SELECT a",
     "SCRIPT SELECT", ""),
    ("DECLARE last DATE DEFAULT (SELECT max(day) FROM shop.days); SELECT * FROM shop.orders WHERE day = last",
     "SCRIPT SELECT", "acme.shop.days acme.shop.orders"),
    ("SET @@time_zone = 'Europe/Berlin'; SELECT CURRENT_DATETIME()", "SCRIPT SELECT", ""),
    (("IF CASE WHEN TRUE THEN FALSE ELSE TRUE END THEN SELECT * FROM shop.a; ELSEIF x THEN SELECT 1; ELSE SELECT 2; "
     "END IF"), "SCRIPT SELECT", "acme.shop.a"),
    ("FOR o IN (SELECT * FROM shop.orders) DO SELECT o.id; END FOR;", "SCRIPT SELECT", "acme.shop.orders"),
    ("outer_: LOOP WHILE i < 3 DO SET i = i + 1; CONTINUE; END WHILE; LEAVE outer_; END LOOP outer_;", "SCRIPT", ""),
    ("REPEAT SET i = i + 1; UNTIL i > 3 END REPEAT; CASE i WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE", "SCRIPT SELECT", ""),
    ("BEGIN SELECT 1; EXCEPTION WHEN ERROR THEN SELECT @@error.message; RAISE USING MESSAGE = 'no'; END",
     "SCRIPT SELECT", ""),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "kinds", "reads"), READS)
def test_reads(statement: str, kinds: str, reads: str) -> None:
    found = facts(statement)
    assert (found.opaque, found.verb, found.writes) == ("", "read", ())
    assert found.kinds == tuple(kinds.split())
    assert sorted(map(str, found.reads)) == sorted(reads.split())
    assert found.is_script == kinds.startswith("SCRIPT")
    assert found.features <= FEATURES


# GoogleSQL as it is written every day: what is refused here is refused to somebody who only reads.
ORDINARY = [
    "SELECT * FROM shop.t WHERE DATE(_PARTITIONTIME) = CURRENT_DATE() AND _PARTITIONDATE > '2020-01-01'",
    "SELECT * FROM shop.t WHERE ts > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL '1 2' DAY TO HOUR)",
    "SELECT x.*, ARRAY_AGG(STRUCT(a AS b) IGNORE NULLS ORDER BY c DESC LIMIT 1)[SAFE_OFFSET(0)].b FROM shop.t x GROUP BY ALL",
    "SELECT JSON_VALUE(p, '$.a'), p.b.c, p['x'], INT64(p.y) FROM shop.t",
    "SELECT * FROM shop.t FULL JOIN shop.t AS u ON t.a = u.a WHERE t.b IS NOT DISTINCT FROM u.b",
    "SELECT GENERATE_UUID(), RAND(), SESSION_USER(), TO_HEX(SHA256('x')), FORMAT('%d', 3) FROM shop.t",
    "SELECT * FROM shop.t, UNNEST(GENERATE_DATE_ARRAY('2020-01-01', '2020-12-31', INTERVAL 1 MONTH)) AS d",
    "SELECT LAST_VALUE(x IGNORE NULLS) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING) FROM shop.t",
    "SELECT ANY_VALUE(x HAVING MAX y), COUNT(DISTINCT IF(a, b, NULL)), STRING_AGG(DISTINCT a, ',' ORDER BY a LIMIT 2) FROM shop.t",
    "SELECT EXTRACT(DAYOFWEEK FROM d), EXTRACT(DATE FROM ts AT TIME ZONE 'UTC'), DATE_TRUNC(d, ISOWEEK) FROM shop.t",
    "SELECT * FROM shop.t AS a CROSS JOIN UNNEST(a.items) AS i WITH OFFSET pos WHERE pos < 3",
    "SELECT [1, 2][OFFSET(0)], (1, 2), STRUCT<a INT64, b STRING>(1, 'x').a, ARRAY<INT64>[1], NUMERIC '1.2' FROM shop.t",
    "SELECT * FROM VECTOR_SEARCH(TABLE shop.t, 'v', (SELECT 1), top_k => 5, options => '{\"x\": 1}')",
    "SELECT * FROM GAP_FILL(TABLE shop.t, ts_column => 'ts', bucket_width => INTERVAL 1 DAY)",
    "SELECT * FROM AI.FORECAST(TABLE shop.t, data_col => 'x', timestamp_col => 't')",
    "SELECT AI.GENERATE(('x', y), connection_id => 'us.c').result FROM shop.t",
    "SELECT APPROX_TOP_COUNT(x, 3), HLL_COUNT.EXTRACT(HLL_COUNT.INIT(x)), PERCENTILE_CONT(y, 0.5) OVER () FROM shop.t",
    "SELECT a LIKE ANY ('a%', 'b%'), REGEXP_EXTRACT(a, r'(\\d+)'), NORMALIZE(a, NFKC), a COLLATE 'und:ci' FROM shop.t",
    "SELECT DATE(2020, 1, 1) + INTERVAL 1 DAY, DIV(5, 2), 1 << 3, ~1, 5 & 3, NOT TRUE, -x, +x, a || b FROM shop.t",
    "SELECT CASE a WHEN 1 THEN 2 END, a BETWEEN 1 AND 2, a IN UNNEST(b), EXISTS (SELECT 1), a IS NOT TRUE FROM shop.t",
    "SELECT * FROM shop.t UNPIVOT((a, b) FOR c IN ((d, e) AS 'x', (f, g) AS 'y'))",
    "SELECT * FROM shop.t WHERE SEARCH(t, 'x') AND CONTAINS_SUBSTR(t, 'y')",
    "SELECT AEAD.DECRYPT_STRING(a, b, c), RANGE(DATE '2020-01-01', NULL) FROM shop.t",
    "select 1 as `group`, 2 as end_, t.date, t.value, offset from shop.t",
    "SELECT * EXCEPT (a), b AS date FROM shop.t WHERE hash = 'x' AND type = 'y' AND timestamp > '2020' AND language = 'de'",
    "SELECT ARRAY_FILTER([1, 2], e -> e > 1), ARRAY_TRANSFORM([1], (e, i) -> e + i) FROM shop.t",
    "SELECT t.*, (SELECT AS VALUE x FROM UNNEST(t.a) x LIMIT 1) FROM shop.t t",
    "SELECT GROUPING(a), SUM(b) FROM shop.t GROUP BY ROLLUP(a)",
    "SELECT a FROM shop.t GROUP BY GROUPING SETS ((a), CUBE(a, b))",
    "SELECT DISTINCT AS STRUCT a FROM shop.t ORDER BY a NULLS LAST LIMIT 10 OFFSET 5",
]


@pytest.mark.parametrize("statement", ORDINARY)
def test_ordinary_queries_are_reads(statement: str) -> None:
    found = facts(statement)
    assert (found.opaque, found.verb, found.kinds) == ("", "read", ("SELECT",))
    assert [str(table) for table in found.reads] == ["acme.shop.t"]


CHANGES = [
    ("INSERT INTO shop.x SELECT * FROM shop.y", "write", "INSERT", "acme.shop.y", "acme.shop.x"),
    ("INSERT shop.x (a, b) VALUES (1, (SELECT 2 FROM shop.y))", "write", "INSERT", "acme.shop.y", "acme.shop.x"),
    ("UPDATE shop.x SET a = 1 FROM shop.y WHERE x.b = y.b", "write", "UPDATE", "acme.shop.x acme.shop.y", "acme.shop.x"),
    ("DELETE shop.x WHERE TRUE", "write", "DELETE", "acme.shop.x", "acme.shop.x"),
    (("MERGE shop.x AS x USING shop.y AS y ON x.a = y.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT ROW "
     "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET b = 1"), "write", "MERGE", "acme.shop.x acme.shop.y", "acme.shop.x"),
    ("TRUNCATE TABLE shop.x", "write", "TRUNCATE_TABLE", "", "acme.shop.x"),
    ("LOAD DATA INTO shop.x FROM FILES (format='CSV', uris=['gs://b/x'])", "write", "LOAD_DATA", "", "acme.shop.x"),
    ("SELECT * FROM EXTERNAL_QUERY('us.c', 'DELETE FROM x')", "write", "SELECT", "", ""),
    ("CREATE TEMP TABLE t AS SELECT * FROM shop.y; SELECT * FROM t", "write", "SCRIPT CREATE_TABLE_AS_SELECT SELECT",
     "acme.shop.y acme._SESSION.t", "acme._SESSION.t"),
    ("BEGIN TRANSACTION; DELETE FROM shop.x WHERE TRUE; COMMIT TRANSACTION;", "write",
     "SCRIPT BEGIN_TRANSACTION DELETE COMMIT_TRANSACTION", "acme.shop.x", "acme.shop.x"),
    ("BEGIN; ROLLBACK", "write", "SCRIPT BEGIN_TRANSACTION ROLLBACK_TRANSACTION", "", ""),
    ("SELECT 1; IF a THEN DELETE FROM shop.x WHERE TRUE; END IF", "write", "SCRIPT SELECT DELETE", "acme.shop.x",
     "acme.shop.x"),
    ("CREATE TABLE shop.x (a INT64 DEFAULT (CAST('1' AS INT64)))", "admin", "CREATE_TABLE", "", "acme.shop.x"),
    ("CREATE OR REPLACE TABLE shop.x PARTITION BY d AS SELECT * FROM shop.y", "admin", "CREATE_TABLE_AS_SELECT",
     "acme.shop.y", "acme.shop.x"),
    ("CREATE TABLE shop.x CLONE shop.y", "admin", "CREATE_TABLE", "acme.shop.y", "acme.shop.x"),
    ("CREATE TABLE shop.x COPY shop.y", "admin", "CREATE_TABLE", "acme.shop.y", "acme.shop.x"),
    ("CREATE TABLE shop.x LIKE shop.y", "admin", "CREATE_TABLE", "acme.shop.y", "acme.shop.x"),
    ("CREATE VIEW shop.x AS SELECT * FROM shop.y", "admin", "CREATE_VIEW", "acme.shop.y", "acme.shop.x"),
    ("CREATE MATERIALIZED VIEW shop.x AS SELECT * FROM shop.y", "admin", "CREATE_MATERIALIZED_VIEW", "acme.shop.y",
     "acme.shop.x"),
    ("CREATE SCHEMA IF NOT EXISTS other.shop", "admin", "CREATE_SCHEMA", "", "other.shop.*"),
    ("CREATE FUNCTION shop.f(x INT64) AS (x)", "admin", "CREATE_FUNCTION", "", "acme.shop.f"),
    ("CREATE MODEL shop.m OPTIONS(model_type='linear_reg') AS SELECT * FROM shop.y", "admin", "CREATE_MODEL",
     "acme.shop.y", "acme.shop.m"),
    ("DROP TABLE IF EXISTS shop.x", "admin", "DROP_TABLE", "", "acme.shop.x"),
    ("DROP VIEW shop.x", "admin", "DROP_VIEW", "", "acme.shop.x"),
    ("DROP SCHEMA shop CASCADE", "admin", "DROP_SCHEMA", "", "acme.shop.*"),
    ("ALTER TABLE shop.x RENAME TO y", "admin", "ALTER_TABLE", "", "acme.shop.x acme.shop.y"),
    ("ALTER TABLE shop.x ADD COLUMN a INT64", "admin", "ALTER_TABLE", "", "acme.shop.x"),
    ("EXPORT DATA OPTIONS (uri='gs://b/x') AS SELECT * FROM shop.y", "admin", "EXPORT_DATA", "acme.shop.y", ""),
    ("EXPORT DATA WITH CONNECTION `us.c` OPTIONS (uri='s3://b/x') AS SELECT * FROM shop.y", "admin", "EXPORT_DATA",
     "acme.shop.y", ""),
    ("GRANT `roles/bigquery.dataViewer` ON TABLE shop.x TO 'user:eve@example.com'", "admin", "GRANT", "", "acme.shop.x"),
    ("REVOKE `roles/bigquery.dataViewer` ON SCHEMA shop FROM 'user:a@example.com'", "admin", "REVOKE", "", "acme.shop.*"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "verb", "kinds", "reads", "writes"), CHANGES)
def test_changes(statement: str, verb: str, kinds: str, reads: str, writes: str) -> None:
    found = facts(statement)
    assert (found.opaque, found.verb, found.kinds) == ("", verb, tuple(kinds.split()))
    assert sorted(map(str, found.reads)) == sorted(reads.split())
    assert sorted(map(str, found.writes)) == sorted(writes.split())
    assert found.features <= FEATURES


OPAQUE = [
    ("", "no statement"),
    (" -- nothing\n;", "no statement"),
    ("this is (no SQL", "begins no statement"),
    ("SELECT 1 2", "(line 1, column 10)"),
    ("SELECT 1;\nSELECT\n  1 2;", "(line 3, column 5)"),
    ("SELECT 1; SELECT 1 2", "(line 1, column 20)"),
    ("DECLARE x INT64;\nSET x = 1 2;", "(line 2, column 11)"),
    ("FROM shop.a |> SET", "does not assign"),
    ("SELECT (1", "parser"),
    ("SELECT " + "(" * 500 + "1" + ")" * 500, "nested too deeply"),
    ("SELECT 'x", "parser"),
    ("SELECT `a``b`", "two ways"),
    ("SELECT 1 /* 2", "comment"),
    ("CALL shop.p(1)", "calls a procedure"),
    ("EXECUTE IMMEDIATE 'SELECT 1'", "run time"),
    ("CREATE PROCEDURE shop.p() BEGIN SELECT 1; END", "makes a procedure"),
    ("CREATE OR REPLACE PROCEDURE shop.p() BEGIN SELECT 1; END", "makes a procedure"),
    ("IF TRUE THEN SELECT 1;", "does not end"),
    ("SET @@dataset_id = 'secrets'; SELECT * FROM orders", "@@dataset_id"),
    ("FROM shop.orders |> INSERT INTO shop.x", "pipe operator INSERT"),
    ("FROM shop.orders |> FORK (|> WHERE a)", "pipe operator FORK"),
    ("FROM __tmp1 |> WHERE a", "__tmp"),
    ("FROM shop.orders" + " |> WHERE a" * 501, "500 pipe operators"),
    ("FROM shop.a |> AS salaries |> JOIN (SELECT * FROM salaries) USING (x)", "pipe's alias"),
    ("FROM shop.a |> AS `Salaries` |> JOIN salaries USING (x)", "pipe's alias"),
    ("SELECT * FROM a.b.c.d.e", "table name"),
    ("SELECT * FROM `shop.orders$20260101`", "table name"),
    ("SELECT * FROM `shop..orders`", "empty part"),
    ("SELECT größe FROM shop.x", "backticks"),
    ("SELECT\u00a01", "white space"),
    ("SELECT 1 \x00", "character"),
    ("SELECT {x: 1}", "character"),
    ("SELECT a INTO shop.x FROM shop.y", "Into"),
    ("WITH x AS (DELETE FROM shop.y WHERE TRUE) SELECT * FROM x", "Delete"),
    ("WITH x AS (SELECT 1) INSERT INTO shop.y SELECT * FROM x", "does not understand"),
    ("SELECT * FROM `a\\x62`", "escape"),
    ("SELECT * FROM shop.a AS hr PIVOT(SUM(x) FOR y IN ('a')) AS p, hr.salaries", "PIVOT"),
    ("SELECT * FROM shop.hr UNPIVOT(x FOR y IN (a, b)), hr.salaries", "PIVOT"),
    ("SELECT 1; -- \r /* \nDROP TABLE shop.x; -- */", "comment"),
    ("#legacySQL\nSELECT * FROM [shop.orders]", "legacy"),
    ("SELECT 1" + " " * 2**20, "longer"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "reason"), OPAQUE, ids=[statement[:30] for statement, _ in OPAQUE])
def test_opaque_is_admin_and_says_why(statement: str, reason: str) -> None:
    found = facts(statement)
    assert reason in found.opaque
    assert (found.verb, found.is_opaque) == ("admin", True)


# With hr as the default dataset: what is read of it must be said, whatever stands beside it.
HIDDEN = [
    "SELECT * FROM (WITH salaries AS (SELECT 1) FROM salaries |> WHERE TRUE), salaries",
    "SELECT * FROM shop.a WHERE x IN (WITH salaries AS (SELECT 1) SELECT * FROM salaries) AND y IN (SELECT * FROM salaries)",
    "WITH salaries AS (SELECT * FROM salaries) SELECT * FROM salaries",
    "WITH a AS (SELECT * FROM salaries), salaries AS (SELECT 1) SELECT * FROM a",
    "FROM shop.a AS salaries |> WHERE x IN (SELECT 1 FROM salaries)",
    "SELECT 1 AS hr, (SELECT max(a) FROM hr.salaries) FROM shop.a",
    "SELECT * FROM shop.a AS hr JOIN (SELECT * FROM hr.salaries) USING (x)",
    "SELECT * FROM hr.salaries, shop.a AS hr",
    "SELECT * FROM shop.a, LATERAL (SELECT * FROM hr.salaries)",
    "SELECT * FROM shop.a TABLESAMPLE SYSTEM ((SELECT max(x) FROM salaries) PERCENT)",
    "SELECT * FROM shop.a WINDOW w AS (ORDER BY (SELECT max(x) FROM salaries))",
    "SELECT * FROM shop.a LIMIT (SELECT max(x) FROM salaries)",
    "SELECT * FROM shop.f(TABLE salaries)",
    "SELECT x[(SELECT 1 FROM salaries)] FROM shop.a",
    "SELECT * REPLACE ((SELECT 1 FROM salaries) AS x) FROM shop.a",
    "SELECT * FROM shop.a FOR SYSTEM_TIME AS OF (SELECT x FROM salaries)",
    "SELECT * FROM shop.a PIVOT(SUM(x) FOR y IN ((SELECT 1 FROM salaries)))",
    "SET x = (SELECT 1 FROM salaries)",
    "IF EXISTS (SELECT 1 FROM salaries) THEN SELECT 1; END IF",
    "ASSERT EXISTS (SELECT 1 FROM salaries)",
    "WHILE (SELECT FALSE FROM salaries) DO SELECT 1; END WHILE",
    "CREATE TEMP FUNCTION f() AS ((SELECT 1 FROM salaries)); SELECT f()",
    "INSERT INTO shop.a SELECT * FROM salaries",
    "CREATE VIEW shop.v AS SELECT * FROM salaries",
    "CREATE TABLE shop.c CLONE salaries",
    "MERGE shop.a USING salaries ON FALSE WHEN NOT MATCHED THEN INSERT VALUES ((SELECT 1))",
    "UPDATE shop.a AS hr SET x = (SELECT 1 FROM hr.salaries) WHERE TRUE",
    "EXPORT DATA OPTIONS (uri='gs://b') AS SELECT * FROM salaries",
    "SELECT * FROM ML.PREDICT(MODEL shop.m, TABLE salaries)",
    # A quoted name with a point in it is one word, and no alias begins with it.
    "SELECT * FROM shop.a AS hr, `hr.salaries`",
    "SELECT * FROM shop.a AS hr CROSS JOIN `hr.salaries`",
    "SELECT * FROM shop.a AS acme, `acme.hr.salaries`",
    "SELECT * FROM shop.a AS acme, `acme.hr`.salaries",
    "SELECT (SELECT max(x) FROM `hr.salaries`) FROM shop.a AS hr",
    "SELECT (SELECT 1 FROM (`hr.salaries` CROSS JOIN shop.b)) FROM shop.a AS hr",
    "INSERT INTO shop.x SELECT * FROM shop.a AS hr, `hr.salaries`",
    "IF EXISTS (SELECT * FROM shop.a AS hr, `hr.salaries`) THEN SELECT 1; END IF",
    "CREATE TEMP FUNCTION f() AS ((SELECT 1 FROM shop.a AS hr, `hr.salaries`)); SELECT f()",
    # A table as an argument is no array.
    "SELECT (SELECT max(x) FROM APPENDS(TABLE hr.salaries, NULL, NULL)) FROM shop.a AS hr",
    # Behind PIVOT and pipe operators an alias is gone.
    "SELECT (SELECT max(x) FROM hr.salaries) FROM shop.a AS hr PIVOT(SUM(x) FOR y IN ('a')) AS p",
    "FROM shop.a AS hr |> DISTINCT |> CROSS JOIN hr.salaries",
    "FROM shop.a AS hr |> DISTINCT |> WHERE x IN (SELECT y FROM shop.b, hr.salaries)",
]


@pytest.mark.parametrize("statement", HIDDEN)
def test_no_table_hides_behind_a_name(statement: str) -> None:
    found = facts(statement, default_dataset=(None, "hr"))
    assert found.opaque == ""
    assert "acme.hr.salaries" in map(str, found.reads)


ROUTINES = [
    ("SELECT * FROM hr.all_salaries()", "acme.hr.all_salaries"),
    ("SELECT `Hr`.Salary(1), `other.hr.pay`(2) FROM shop.a, hr.t(1)", "acme.Hr.Salary other.hr.pay acme.hr.t"),
    ("FROM shop.a |> CROSS JOIN hr.t(1)", "acme.hr.t"),
    ("SELECT COUNT(*), NET.HOST(x), SAFE.SUBSTR(x, 1), ST_X(x), ERROR('no'), x IN (1) FROM shop.a", ""),
    ("SELECT * FROM ML.PREDICT(MODEL shop.m, TABLE shop.a)", ""),
    ("INSERT INTO shop.x (a, b) SELECT 1, 2", ""),
    ("CREATE TEMP FUNCTION f() AS (1); SELECT f()", ""),
]


@pytest.mark.parametrize(("statement", "routines"), ROUTINES)
def test_functions_of_datasets(statement: str, routines: str) -> None:
    assert list(map(str, facts(statement).routines)) == routines.split()
    assert set(routines.split()) == set(map(str, facts(statement, default_dataset=(None, "hr")).routines))


def test_a_function_that_nobody_knows_may_be_the_default_datasets() -> None:
    assert facts("SELECT salary(1)").routines == ()
    assert list(map(str, facts("SELECT salary(1)", default_dataset=(None, "hr")).routines)) == ["acme.hr.salary"]


def test_legacy_sql_is_opaque_unless_the_text_itself_says_otherwise() -> None:
    assert facts("SELECT 1", legacy=True).features == {"legacy_sql"}
    assert facts("\n#standardSQL\nSELECT 1", legacy=True).verb == "read"
    assert facts("SELECT 1 -- #standardSQL\n", legacy=True).opaque
    assert facts("#standardSQL #legacySQL\nSELECT 1").opaque


def test_bare_names_are_of_the_default_dataset() -> None:
    found = facts("SELECT * FROM t, INFORMATION_SCHEMA.TABLES", default_dataset=(None, "shop"))
    assert [str(ref) for ref in found.reads] == ["acme.shop.t", "acme.shop.INFORMATION_SCHEMA.TABLES"]
    assert "unqualified_name" not in found.features
    assert [str(ref) for ref in facts("DROP TABLE t", default_dataset=("other", "d")).writes] == ["other.d.t"]
    bare = facts("SELECT * FROM t")
    assert ([str(ref) for ref in bare.reads], bare.features) == (["acme..t"], {"unqualified_name"})


def test_a_temporary_table_may_not_be_there_so_the_default_datasets_is_read_too() -> None:
    found = facts("CREATE TEMP TABLE t AS SELECT 1; DROP TABLE t; SELECT * FROM t", default_dataset=(None, "shop"))
    assert [str(ref) for ref in found.reads] == ["acme._SESSION.t", "acme.shop.t"]


@pytest.mark.parametrize("change", ["INSERT INTO t SELECT 1", "DELETE FROM t WHERE TRUE", "TRUNCATE TABLE t"])
def test_so_the_default_datasets_is_changed_too(change: str) -> None:
    found = facts(f"IF FALSE THEN CREATE TEMP TABLE t AS SELECT 1; END IF; {change}", default_dataset=(None, "shop"))
    assert [str(ref) for ref in found.writes] == ["acme._SESSION.t", "acme.shop.t"]


def test_beside_another_projects_default_dataset_nobody_knows_a_datasets_project() -> None:
    found = facts("INSERT INTO shop.a SELECT * FROM shop.b, c, acme.shop.d", default_dataset=("other", "hr"))
    assert [str(ref) for ref in found.reads] == [".shop.b", "other.hr.c", "acme.shop.d"]
    assert [str(ref) for ref in found.writes] == [".shop.a"]
    assert [str(ref) for ref in facts("DROP SCHEMA shop", default_dataset=("other", "hr")).writes] == [".shop.*"]
