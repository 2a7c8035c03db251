from datetime import UTC, datetime, timedelta

import pytest

from hoop_mitm.rerunning.travel import CannotTravel, as_of

AT = datetime.now(UTC) - timedelta(days=1)
THEN = f" FOR SYSTEM_TIME AS OF TIMESTAMP '{AT:%Y-%m-%d %H:%M:%S.%f}+00'"


def asked(statement: str) -> str:
    return as_of(statement, AT, project="acme", default_dataset=("acme", "shop"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM `acme.shop.orders` AS o@",
        "SELECT a FROM `acme`.shop.`orders`@, acme-x.shop.c AS c@ -- acme.shop.orders",
        "SELECT (SELECT MAX(x) FROM orders@) FROM shop.c c@ JOIN orders o@ USING (id) WHERE s = 'FROM orders'",
        "WITH o AS (SELECT 1 AS a FROM shop.orders@) SELECT a FROM o",
        "SELECT item FROM shop.orders AS o@, UNNEST(o.items) AS item",
        "FROM shop.orders@ |> WHERE a > 1",
        "SELECT 1",
    ],
)
def test_every_table_is_read_as_it_was_and_nothing_else_is_touched(statement: str) -> None:
    assert asked(statement.replace("@", "")) == statement.replace("@", THEN)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT a FROM `acme.shop.events_*`", "wildcard"),
        ("SELECT a FROM shop.INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA"),
        ("SELECT a FROM shop.orders FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", "by itself"),
        ("SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')", "another database"),
        ("SELECT shop.f(a) FROM shop.orders", "function"),
        ("SELECT a FROM shop.orders TABLESAMPLE SYSTEM (10 PERCENT)", "sampled"),
        ("DELETE FROM shop.orders WHERE TRUE", "single query"),
        ("SELECT 1 FROM shop.orders; SELECT 2", "single query"),
        ("SELEC 1", "understood"),
    ],
)
def test_what_cannot_be_is_refused(statement: str, why: str) -> None:
    with pytest.raises(CannotTravel, match=why):
        asked(statement)


def test_bigquery_keeps_seven_days() -> None:
    with pytest.raises(CannotTravel, match="7 days"):
        as_of("SELECT a FROM shop.orders", datetime.now(UTC) - timedelta(days=7, seconds=1), project="acme")
