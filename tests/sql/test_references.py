"""The tables that a statement reads, by its text."""

import pytest

from hoop_mitm.sql import tables_read

STATEMENTS = [
    ("SELECT 1", []),
    ("SELECT * FROM shop.orders", ["acme.shop.orders"]),
    ("select * from `other-project.shop.orders`", ["other-project.shop.orders"]),
    ("SELECT * FROM other-project.shop.orders", ["other-project.shop.orders"]),
    ("SELECT * FROM `acme`.shop.`events_*`", ["acme.shop.events_*"]),
    ("SELECT * FROM shop.orders o, o.items", ["acme.shop.orders"]),
    ("SELECT * FROM shop.orders, UNNEST(items)", ["acme.shop.orders"]),
    ("SELECT * FROM shop.a JOIN shop.b USING (id) JOIN shop.a x USING (id)", ["acme.shop.a", "acme.shop.b"]),
    ("WITH c AS (SELECT * FROM shop.customers) SELECT * FROM c", ["acme.shop.customers"]),
    ("FROM shop.orders |> WHERE total > 1", ["acme.shop.orders"]),
    ("SELECT (SELECT max(id) FROM shop.b) FROM shop.a", ["acme.shop.a", "acme.shop.b"]),
    ("INSERT INTO shop.x SELECT * FROM shop.y", ["acme.shop.y"]),
    ("INSERT INTO shop.x (a, b) SELECT a, b FROM shop.y", ["acme.shop.y"]),
    ("CREATE TABLE shop.x AS SELECT * FROM shop.y", ["acme.shop.y"]),
    ("MERGE shop.x USING shop.y ON x.a = y.a WHEN MATCHED THEN DELETE", ["acme.shop.x", "acme.shop.y"]),
    ("UPDATE shop.x SET a = 1 WHERE b IN (SELECT b FROM shop.y)", ["acme.shop.x", "acme.shop.y"]),
    ("DELETE FROM shop.x WHERE TRUE", ["acme.shop.x"]),
    ("EXPORT DATA OPTIONS (uri='gs://b/x') AS SELECT * FROM shop.y", ["acme.shop.y"]),
    ("DROP TABLE shop.x", []),
    ("TRUNCATE TABLE shop.x", []),
    ("SELECT * FROM shop.a; SELECT * FROM shop.b", ["acme.shop.a", "acme.shop.b"]),
    ("SELECT * FROM orders", []),
    ("SELECT * FROM shop.f(1)", []),
    ("this is (no SQL", []),
    ("SELECT " + "(" * 5000, []),
    ("SELECT * FROM shop.orders -- " + "x" * 70_000, []),
]


@pytest.mark.parametrize(("statement", "expected"), STATEMENTS)
def test_tables_read(statement: str, expected: list[str]) -> None:
    assert sorted(map(str, tables_read(statement, "acme"))) == sorted(expected)


def test_a_bare_name_is_a_table_of_the_default_dataset_unless_the_statement_defines_it() -> None:
    statement = "WITH c AS (SELECT * FROM orders) SELECT * FROM c"
    assert [str(ref) for ref in tables_read(statement, "acme", (None, "shop"))] == ["acme.shop.orders"]
    assert [str(ref) for ref in tables_read("SELECT * FROM t", "acme", ("other", "d"))] == ["other.d.t"]
