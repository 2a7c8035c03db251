"""The shop is the same in every world, and changes in the same way."""

from collections.abc import Iterator

import pytest
from google.cloud import bigquery

from hoop_mitm.devkit import seed
from hoop_mitm.devkit.world import World
from tests.devkit.google_clients import bigquery_client


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose data a test may change."""
    with World(tmp_path_factory.mktemp("shop")) as world:
        yield world


@pytest.fixture(scope="module")
def client(shop: World) -> bigquery.Client:
    return bigquery_client(shop)


def one(client: bigquery.Client, statement: str) -> tuple[object, ...]:
    [row] = client.query_and_wait(statement)
    return tuple(row)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SELECT COUNT(*), COUNT(DISTINCT email) FROM shop.customers", (120, 120)),
        ("SELECT COUNT(*), MIN(order_date) < MAX(order_date) FROM shop.orders", (900, True)),
        ("SELECT COUNT(*), MIN(salary) > 30000 FROM shop.employees", (24, True)),
        ("SELECT COUNT(*), COUNT(DISTINCT _TABLE_SUFFIX) FROM `acme.shop.events_*`", (1050, 7)),
        ("SELECT COUNT(*) FROM shop.customer_contacts WHERE email LIKE '%@mail.example'", (64,)),
        ("SELECT LOGICAL_AND(id IS NOT NULL) FROM shop.orders, UNNEST(items) AS item WHERE item.quantity > 0", (True,)),
    ],
)
def test_the_shop_has_what_the_demo_asks_for(world: World, question: str, answer: tuple[object, ...]) -> None:
    # The shared world: whatever other tests do, they leave these tables alone.
    assert one(bigquery_client(world), question) == answer


def test_two_worlds_hold_the_same_shop(world: World, client: bigquery.Client) -> None:
    total = "SELECT SUM(total), MAX(status) FROM shop.orders WHERE id <= 900"
    phones = "SELECT STRING_AGG(phone, ',' ORDER BY id) FROM shop.customers WHERE id <= 120"
    for question in (total, phones):
        assert one(client, question) == one(bigquery_client(world), question)


def test_a_day_later_the_shop_has_changed(shop: World, client: bigquery.Client) -> None:
    shipped = "SELECT COUNTIF(status = 'shipped') FROM shop.orders WHERE id <= 300"
    before = one(client, shipped)

    seed.next_day(shop.emulator)

    assert one(client, "SELECT COUNT(*) FROM shop.orders") == (925,)
    assert one(client, "SELECT COUNT(*) FROM shop.customers") == (121,)
    assert one(client, shipped) > before  # type: ignore[operator]
