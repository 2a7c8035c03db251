"""A statement's facts against BigQuery's dry run."""

import pytest

from hoop_mitm.bigquery import TableRef
from hoop_mitm.sql import agrees, behind, understand


def table(name: str) -> TableRef:
    return TableRef(*name.split("."))


AGREEMENTS = [
    ("SELECT * FROM shop.a", "SELECT", "acme.shop.a", True),
    ("SELECT * FROM shop.a", "", "", True),
    ("SELECT * FROM shop.view", "SELECT", "acme.shop.a other.shop.b", True),
    ("SELECT * FROM shop.a", "DELETE", "acme.shop.a", False),
    ("SELECT * FROM shop.a", "SCRIPT", "acme.shop.a", False),
    ("SELECT 1; SELECT 2", "SCRIPT", "", True),
    ("DECLARE x INT64; SELECT 1", "SELECT", "", True),
    ("CREATE TEMP FUNCTION f() AS (1); SELECT f()", "SELECT", "", True),
    ("SELECT 1", "SELECT", "acme.shop.secrets", False),
    ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT", "acme.shop.a", False),
    ("SELECT shop.f(1)", "SELECT", "acme.shop.behind", True),
    ("CREATE TABLE shop.x AS SELECT 1", "CREATE_TABLE_AS_SELECT", "", True),
    ("CREATE TABLE shop.x AS SELECT 1", "CREATE_TABLE", "", False),
    ("INSERT INTO shop.x SELECT 1", "INSERT", "acme.shop.x", True),
    ("CALL shop.p()", "CALL", "", False),
]


@pytest.mark.parametrize(("statement", "statement_type", "tables", "good"), AGREEMENTS)
def test_agrees(statement: str, statement_type: str, tables: str, good: bool) -> None:
    facts = understand(statement, project="acme")
    said = agrees(facts, statement_type, [table(name) for name in tables.split()])
    assert (said == "") is good, said


def test_what_is_behind_a_view_can_be_told() -> None:
    facts = understand("SELECT * FROM shop.view, `shop.events_*`", project="acme")
    listed = [table(name) for name in ("acme.shop.view", "acme.shop.events_1", "acme.raw.orders", "acme.raw.events_1")]
    assert [str(each) for each in behind(facts, listed)] == ["acme.raw.orders", "acme.raw.events_1"]
