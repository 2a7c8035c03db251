"""A museum: ways to name somebody else's result in SQL. A row that was ever found stays."""

import time

import pytest

from hoop_mitm.bigquery.hidden import is_result, named_in
from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.bigquery.unreadable import Unreadable

DS = "_0e32b38e1117b2fcea992287c138bd53acfff7cc"
SCRIPT = "_script0e32b38e1117b2fcea992287c138bd53acfff7cc"
HERS = Resource("table", f"acme.{DS}.anonb0b")
WHOLE = Resource("table", f"acme.{DS}.*")


def named(statement, **kwargs):
    return set(named_in(statement, project="acme", **({"legacy": False} | kwargs)))


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT * FROM {DS}.anonb0b",
        f"SELECT * FROM acme.{DS}.anonb0b",
        f"SELECT * FROM `acme.{DS}.anonb0b`",
        f"SELECT * FROM `acme`.`{DS}`.`anonb0b`",
        f"SELECT * FROM `acme.{DS}`.anonb0b",
        f"SELECT * FROM acme.`{DS}.anonb0b`",
        f"SELECT * FROM`acme.{DS}.anonb0b`",
        f"SELECT * FROM acme . {DS} .\n anonb0b",
        f"SELECT * FROM acme/**/./* x */{DS}--\n.#\nanonb0b",
        f"SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`",
        f"SELECT * FROM `acme.\\137{DS[1:]}.\\u0061nonb0b`",
        f"SELECT * FROM `acme.{DS}.anonb0b$20260101`",
        f"SELECT * FROM `{DS}.anonb0b@-3600000`",
        f"select 1 from shop.orders, {DS}.anonb0b",
        f"SELECT * FROM shop.t JOIN (SELECT * FROM {DS}.anonb0b) USING (id)",
        f"WITH {DS} AS (SELECT 1 AS anonb0b) SELECT * FROM acme.{DS}.anonb0b",
        f"FROM acme.{DS}.anonb0b |> SELECT *",
        f"CREATE TABLE shop.x CLONE {DS}.anonb0b",
        f"CREATE TABLE shop.x AS SELECT * FROM {DS}.anonb0b",
        f"MERGE shop.x USING {DS}.anonb0b s ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
        f"SELECT * FROM ML.PREDICT(MODEL shop.m, TABLE {DS}.anonb0b)",
        f"DELETE FROM {DS}.anonb0b WHERE TRUE",
        f"EXPORT DATA OPTIONS (uri='gs://x/*') AS SELECT * FROM {DS}.anonb0b",
        f"EXECUTE IMMEDIATE 'SELECT * FROM {DS}.anonb0b'",
        f"EXECUTE IMMEDIATE 'SELECT * FROM {DS}' '.anonb0b'",
        f"EXECUTE IMMEDIATE '''SELECT * FROM acme.\\x5f{DS[1:]}.anonb0b'''",
        f"CALL shop.run('SELECT * FROM {DS}.anonb0b')",
        f"SELECT 1 -- {DS}.anonb0b",
        f"SELECT * FROM `\\x61cme`.`\\x5f{DS[1:]}`.`\\x61n\\x6fnb0b`",
        f"CALL shop.run('SELECT * FROM \\x5f{DS[1:]}.\\x61n\\x6fnb0b')",
        # SQL in a literal has escape sequences of its own.
        f'EXECUTE IMMEDIATE r"SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`"',
        f'EXECUTE IMMEDIATE "SELECT * FROM `acme.\\\\x5f{DS[1:]}.anonb0b`"',
        f'EXECUTE IMMEDIATE "SELECT * FROM acme./* */{DS}./* */anonb0b"',
        f"CALL shop.run(r'SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`')",
        f"DECLARE s STRING DEFAULT r'SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`'; CALL shop.run(s)",
        f'EXECUTE IMMEDIATE """EXECUTE IMMEDIATE r\'SELECT * FROM `acme.\\\\x5f{DS[1:]}.anonb0b`\'"""',
        f'EXECUTE IMMEDIATE r"""CALL shop.run(r\'SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`\')"""',
    ],
)
def test_a_result_table_is_found_however_it_is_spelled(statement):
    assert HERS in named(statement)


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT * FROM [acme:{DS}.anonb0b]",
        f"SELECT * FROM [{DS}.anonb0b]",
        f"SELECT * FROM [{DS}.anonb0b@-3600000]",
        f"SELECT * FROM acme:{DS}.anonb0b",
        f"SELECT * FROM TABLE_DATE_RANGE([acme:{DS}.anonb0b], x, y)",
        f"#standardSQL\nSELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`",
    ],
)
def test_a_result_table_is_found_in_legacy_sql(statement):
    assert HERS in named(statement, legacy=True)


@pytest.mark.parametrize(
    ("statement", "kwargs"),
    [
        (f"SELECT * FROM `{DS}.*`", {}),
        (f"SELECT * FROM `acme.{DS}.*`", {}),
        (f"DROP SCHEMA {DS}", {}),
        (f"DROP SCHEMA `acme.{DS}` CASCADE", {}),
        (f"SET @@dataset_id = '{DS}'; SELECT * FROM anonb0b", {}),
        ("SELECT * FROM anonb0b", {"default": (None, DS)}),
        ("SELECT * FROM `an\\x6fnb0b`", {"default": (None, DS)}),
        (f"SELECT * FROM TABLE_QUERY([acme:{DS}], 'TRUE')", {"legacy": True}),
        (f"SELECT * FROM TABLE_DATE_RANGE([{DS}.], x, y)", {"legacy": True}),
        (f"#legacySQL\nSELECT * FROM TABLE_QUERY([{DS}], 'TRUE')", {}),
    ],
)
def test_a_hidden_dataset_as_a_whole_belongs_to_nobody(statement, kwargs):
    assert WHOLE in named(statement, **kwargs)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (f"SELECT * FROM `other-project.{DS}.anonb0b`", f"other-project.{DS}.anonb0b"),
        (f"SELECT * FROM other-project.{DS}.anonb0b", f"other-project.{DS}.anonb0b"),
        (f"SELECT * FROM other-project-1./**/{DS}.anonb0b", f"other-project-1.{DS}.anonb0b"),
        (f"SELECT * FROM `example.com:acme.{DS}.anonb0b`", f"example.com:acme.{DS}.anonb0b"),
        (f"SELECT * FROM {SCRIPT}.tmp", f"acme.{SCRIPT}.tmp"),
        (f"SELECT * FROM {DS}.INFORMATION_SCHEMA.TABLES", f"acme.{DS}.INFORMATION_SCHEMA"),
        (f"SELECT * FROM `{DS}.anon*`", f"acme.{DS}.anon*"),
        (f"SELECT * FROM {DS}.ANONB0B", f"acme.{DS}.ANONB0B"),
        ("SELECT * FROM _bqemu_anonymous.anonjob_1", "acme._bqemu_anonymous.anonjob_1"),
        ("SELECT * FROM `_bqemu_anonymous.*`", "acme._bqemu_anonymous.*"),
    ],
)
def test_names_are_taken_exactly_as_bigquery_would(statement, expected):
    assert Resource("table", expected) in named(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "EXECUTE IMMEDIATE CONCAT('SELECT * FROM _', x)",
        "EXECUTE IMMEDIATE 'SELECT * FROM ' || name",
        "EXECUTE IMMEDIATE @sql",
        "execute /**/ immediate sql INTO x",
        "EXECUTE IMMEDIATE FORMAT('SELECT %s', x)",
        "BEGIN EXECUTE IMMEDIATE (SELECT 'x'); END",
        "SET @@dataset_id = CONCAT('_', x); SELECT * FROM t",
        "SET (@@dataset_id, x) = ('a', 1)",
        "SET @@dataset_project_id = (SELECT 'x')",
        "SET (x, @@`dataset_id`) = (1, 'a')",
        "EXECUTE IMMEDIATE 'SELECT 1' INTO @@dataset_id",
        "EXECUTE IMMEDIATE 'EXECUTE IMMEDIATE ?' USING x",
        'EXECUTE IMMEDIATE "CREATE PROCEDURE shop.p(x STRING) BEGIN EXECUTE IMMEDIATE x; END"',
        "EXECUTE IMMEDIATE 'EXECUTE IMM' 'EDIATE x'",
        "EXECUTE IMMEDIATE 'SET @@data' 'set_id = x'",
        "EXECUTE IMMEDIATE 'CALL shop.run(?)' USING 'SELECT ' || x",
        "CALL shop.run('SELECT ' || x)",
        "DECLARE s STRING; SET s = 'a' || 'b'; CALL shop.run(s)",
    ],
)
def test_names_that_are_made_at_run_time_could_be_anyones(statement):
    assert Resource("table", "?") in named(statement)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CALL BQ.ABORT_SESSION('abc')", Resource("bq_session", "abc")),
        ("call `bq`.`abort_session` ( 'abc' )", Resource("bq_session", "abc")),
        ("CALL BQ.ABORT_SESSION(s)", Resource("bq_session", "?")),
        ("CALL BQ.ABORT_SESSION('a' || 'b')", Resource("bq_session", "?")),
        ("CALL BQ.JOBS.CANCEL('job_1')", Resource("job", "acme:job_1")),
        ("CALL BQ.JOBS.CANCEL('acme.job_1')", Resource("job", "acme:job_1")),
        ("CALL BQ.JOBS.CANCEL(CONCAT('a'))", Resource("job", "?")),
        ("EXECUTE IMMEDIATE \"CALL BQ.JOBS.CANCEL('acme.job_1')\"", Resource("job", "acme:job_1")),
        ("EXECUTE IMMEDIATE \"CALL BQ.ABORT_SESSION('abc')\"", Resource("bq_session", "abc")),
        ("CALL shop.run(\"CALL BQ.ABORT_SESSION('abc')\")", Resource("bq_session", "abc")),
    ],
)
def test_jobs_and_sessions_that_a_statement_ends_are_found(statement, expected):
    assert expected in named(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT anonymous_id, t._PARTITIONTIME FROM shop.events AS t WHERE _TABLE_SUFFIX > 'anon'",
        "SELECT _fivetran_deleted, _meta.changes FROM shop.orders",
        "SELECT * FROM _staging.orders JOIN acme._staging.customers USING (id)",
        "CREATE TEMP TABLE anon AS SELECT 1; SELECT * FROM _SESSION.anon_ids_",
        "EXECUTE IMMEDIATE 'SELECT ?' USING 1",
        'EXECUTE IMMEDIATE "SELECT 1" INTO x',
        "SET @@dataset_id = 'shop'; SELECT * FROM orders",
        "SELECT @@dataset_id",
        "SELECT REGEXP_CONTAINS(a, r'\\bexecute\\b') -- cancel",
        "CALL BQ.ABORT_SESSION()",
        "CALL shop.refresh('orders', 7, -1.5, TRUE, NULL, @day, DATE '2026-01-01', CURRENT_DATE())",
        "EXECUTE IMMEDIATE \"SELECT 'execute immediate'\"",
        "SET x = 1; SELECT @@dataset_id, @@query_label",
        "SET x = @@dataset_id",
        "SET @@query_label = 'team:a'",
    ],
)
def test_ordinary_statements_name_nobodys_results(statement):
    assert named(statement) == set()


@pytest.mark.parametrize("statement", [f"SELECT * FROM acme.{DS}.anonb0b", f"SELECT * FROM `acme.{DS}.anonb0b`"])
def test_ones_own_result_is_one_resource_only(statement):
    assert named(statement) == {HERS}
    assert named(statement, legacy=None) == {HERS}


@pytest.mark.parametrize(
    ("dataset", "table", "expected"),
    [
        (DS, "anything", True),
        (SCRIPT, "tmp", True),
        ("_bqemu_anonymous", "anonx", True),
        ("_other", "anon1", True),
        ("_other", "orders", False),
        ("shop", "anonymous", False),
    ],
)
def test_results_are_told_from_tables(dataset, table, expected):
    assert is_result(dataset, table) is expected


def nested(statement, levels):
    for _ in range(levels):
        escaped = statement.replace("\\", "\\\\").replace("'", "\\'")
        statement = f"EXECUTE IMMEDIATE '{escaped}'"
    return statement


def test_sql_in_sql_is_read_some_levels_deep_and_beyond_could_be_anything():
    assert named(nested(f"SELECT * FROM acme./**/{DS}.anonb0b", 4)) == {HERS}
    assert named(nested("SELECT 1", 10)) == {Resource("table", "?")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`", {HERS}),
        (f"acme.{DS}.anonb0b", {HERS}),
        ("EXECUTE IMMEDIATE x", {Resource("table", "?")}),
        ("orders", set()),
    ],
)
def test_the_value_of_a_parameter_is_read_when_a_procedure_is_given_it(value, expected):
    assert named("CALL shop.run(@sql)", parameters=[value]) == expected
    assert named("SELECT @sql", parameters=[value]) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "SET @@query_label = 'hoop-session:bobs'",
        "SET @@query_label = 'team:a,HOOP-session:bobs'; SELECT 1",
        "SET @@query_label = 'ho\\x6fp-session:bobs'",
        "set @@`query_label` = 'hoop-session:bobs'",
        "SET @@query_label = CONCAT('ho', 'op-session:bobs')",
        "SET (@@query_label, x) = ('hoop-session:bobs', 1)",
        "EXECUTE IMMEDIATE 'SELECT 1' INTO @@query_label",
        "EXECUTE IMMEDIATE \"SET @@query_label = 'hoop-session:bobs'\"",
        "BEGIN SET/**/@@query_label = 'hoop-session:bobs'; END",
    ],
)
@pytest.mark.parametrize("legacy", [False, None])
def test_labels_of_the_gateway_cannot_be_set_in_sql(statement, legacy):
    with pytest.raises(Unreadable, match="label"):
        named(statement, legacy=legacy)


@pytest.mark.parametrize("statement", ["SELECT " + "x" * 2**20, "SELECT '" + "é" * 2**19 + "'"])
def test_a_statement_that_bigquery_would_not_take_is_not_read(statement):
    with pytest.raises(Unreadable, match="longer than 1048576 bytes"):
        named(statement)


MB = 10**6


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT " + "@@dataset_id," * 8000,
        "SET " + "@@dataset_id," * 8000,
        "SELECT immediate FROM " + "a-" * 60_000 + "a",
        "SELECT anon FROM " + "_a.anon." * 20_000 + "x",
        "CALL a(" * 30_000,
        "CALL a " * 50_000,
        "CALL a(x);" + "DECLARE a, SET (x INTO y " * 15_000,
        "EXECUTE IMMEDIATE '" + "\\'" * 90_000 + "'",
        "SELECT immediate " + "'a'" * 300_000,
    ],
)
def test_reading_takes_no_longer_than_it_must(statement):
    start = time.process_time()
    named(statement)
    assert time.process_time() - start < 3


@pytest.mark.parametrize("statement", ["SELECT immediate " + "(" * MB, "SELECT immediate " + "a," * (MB // 2)])
def test_a_statement_of_too_many_words_is_refused_soon(statement):
    start = time.process_time()
    with pytest.raises(Unreadable, match="more than 150000 words"):
        named(statement)
    assert time.process_time() - start < 3


def test_a_long_ordinary_statement_is_read():
    line = "SELECT order_id, customer_id, SUM(price) AS total FROM shop.orders WHERE status = 'immediate' GROUP BY 1, 2\nUNION ALL\n"
    assert named(line * (MB * 6 // 10 // len(line))) == set()
    assert named(line.replace("immediate", "sent") * (MB // len(line))) == set()
