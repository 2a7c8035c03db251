"""Which tables a statement reads, and what that costs."""

from collections.abc import Sequence

import pytest

from hoop_mitm.devkit.estimates import MINIMUM_BILLED, Estimate, Estimates, TableFacts, TableName

CATALOGUE = {
    "acme.shop.customers": TableFacts(10, {"id": 80, "name": 200, "email": 400}),
    "acme.shop.orders": TableFacts(20, {"id": 160, "customer_id": 160, "items": 900}),
    "acme.shop.contacts": TableFacts(0, {}, query="SELECT name, email FROM `acme.shop.customers`"),
    "acme.shop.loop": TableFacts(0, {}, query="SELECT * FROM shop.loop"),
    "acme.shop.events_20260101": TableFacts(5, {"page": 50, "id": 40}),
    "acme.shop.events_20260102": TableFacts(5, {"page": 60, "id": 40}),
    "other-project.lake.big": TableFacts(1, {"blob": 50 * 2**20}),
}


def facts(names: Sequence[TableName]) -> list[TableFacts | None]:
    return [CATALOGUE.get(f"{name.project}.{name.dataset}.{name.table}") for name in names]


def listing(project: str, dataset: str) -> list[str]:
    prefix = f"{project}.{dataset}."
    return [name.removeprefix(prefix) for name in CATALOGUE if name.startswith(prefix)]


def estimate(statement: str, dataset: tuple[str, str] | None = None) -> Estimate:
    return Estimates(facts, listing).of(statement, "acme", dataset)


@pytest.mark.parametrize(
    ("statement", "tables", "processed"),
    [
        ("SELECT id FROM shop.customers", ["customers"], 80),
        ("SELECT id, EMAIL FROM `acme.shop.customers`", ["customers"], 480),
        ("SELECT * FROM `acme`.shop.customers", ["customers"], 680),
        ("SELECT COUNT(*) FROM shop.customers", ["customers"], 0),
        ("SELECT COUNT(*) FROM shop.customers WHERE name > ''", ["customers"], 200),
        ("SELECT TO_JSON_STRING(c) FROM shop.customers c", ["customers"], 680),
        (
            "SELECT c.name FROM shop.customers c JOIN shop.orders o ON o.customer_id = c.id",
            ["customers", "orders"],
            600,
        ),
        ("WITH customers AS (SELECT id FROM shop.orders) SELECT id FROM customers", ["orders"], 160),
        ("SELECT i.sku FROM shop.orders o, o.items i", ["orders"], 900),
        ("SELECT name FROM shop.contacts", ["customers"], 600),
        ("SELECT 1 FROM shop.loop", [], 0),
        ("SELECT page FROM `acme.shop.events_*`", ["events_*"], 110),
        ("SELECT * FROM (SELECT id FROM shop.customers)", ["customers"], 80),
        ("WITH c AS (SELECT id FROM shop.customers) SELECT c.* FROM c", ["customers"], 80),
        ("FROM shop.customers |> SELECT id", ["customers"], 80),
        ("INSERT INTO shop.orders (id) SELECT id FROM shop.customers", ["customers"], 80),
        ("CREATE TABLE shop.copy AS SELECT id FROM shop.customers", ["customers"], 80),
        ("DELETE FROM shop.orders WHERE id = 1", ["orders"], 1220),
        (
            "MERGE shop.orders o USING shop.customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
            ["customers", "orders"],
            1900,
        ),
        ("SELECT * FROM shop.nowhere", [], 0),
        ("SELECT * FROM shop.INFORMATION_SCHEMA.TABLES", [], 0),
        ("SELECT 1", [], 0),
        ("BEGIN SELECT id FROM shop.customers; EXCEPTION WHEN ERROR THEN SELECT 1; END", ["customers"], 680),
        ("this is no SQL at all, shop.customers", ["customers"], 680),
    ],
)
def test_the_columns_that_are_named_are_what_is_read(statement: str, tables: list[str], processed: int) -> None:
    found = estimate(statement)
    assert [name.table for name in found.tables] == tables
    assert found.processed == processed


def test_a_default_dataset_completes_a_name() -> None:
    found = estimate("SELECT blob FROM big", ("other-project", "lake"))
    assert found.tables == (TableName("other-project", "lake", "big"),)


@pytest.mark.parametrize(
    ("statement", "billed"),
    [
        ("SELECT 1", 0),
        ("SELECT COUNT(*) FROM shop.customers", 0),
        ("SELECT id FROM shop.customers", MINIMUM_BILLED),
        ("SELECT c.id FROM shop.customers c, shop.orders o", 2 * MINIMUM_BILLED),
        ("SELECT blob FROM `other-project.lake.big`", 50 * 2**20),
    ],
)
def test_ten_megabytes_a_table_are_the_least_that_is_billed(statement: str, billed: int) -> None:
    assert estimate(statement).billed == billed
