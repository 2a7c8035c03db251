"""A small shop: the same rows in every world, because a recording is easier to read when its data is known."""

import json
import random
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.errors import SandboxError

PROJECT = "acme"
DATASET = "shop"

_SEED = 20260101
_CUSTOMERS = 120
_ORDERS = 900
_EMPLOYEES = 24
_EVENTS_A_DAY = 150
_FIRST_DAY = date(2026, 1, 1)
_DAYS = 60
_EVENT_DAYS = 7

_FIRST_NAMES = (
    "Ada",
    "Björn",
    "Chloé",
    "Diego",
    "Elif",
    "Femi",
    "Grace",
    "Hana",
    "Igor",
    "Jin",
    "Kofi",
    "Lena",
    "Mateo",
    "Nora",
    "Omar",
    "Priya",
)
_LAST_NAMES = (
    "Ahmed",
    "Becker",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lopez",
    "Müller",
    "Novák",
)
_CITIES = (("Berlin", "DE"), ("Lyon", "FR"), ("Porto", "PT"), ("Kraków", "PL"), ("Utrecht", "NL"), ("Sevilla", "ES"))
_STREETS = ("Harbour Road", "Mill Lane", "Station Street", "Orchard Way", "Kirchgasse")
_PRODUCTS = (
    ("MUG-01", "Stoneware mug", "14.90"),
    ("TEA-07", "Darjeeling, 250 g", "11.50"),
    ("POT-02", "Teapot", "39.00"),
    ("KET-05", "Kettle", "64.00"),
    ("SPO-03", "Spoon, set of six", "22.40"),
)
_DEPARTMENTS = ("Sales", "Logistics", "Engineering", "Finance")

_SCHEMAS: dict[str, dict[str, Any]] = {
    "customers": {
        "description": "Everybody who has an account. E-mail, phone and address are personal data.",
        "fields": (
            "id INTEGER REQUIRED, name STRING, email STRING, phone STRING, address RECORD (street STRING, city STRING, "
            "zip STRING, country STRING), newsletter BOOLEAN, created_at TIMESTAMP"
        ),
    },
    "orders": {
        "description": "Orders with their items, partitioned by day.",
        "partition": "order_date",
        "fields": (
            "id INTEGER REQUIRED, customer_id INTEGER, order_date DATE, status STRING, "
            "items RECORD REPEATED (sku STRING, name STRING, quantity INTEGER, price NUMERIC), total NUMERIC"
        ),
    },
    "employees": {
        "description": "People who work here. Salaries are confidential.",
        "fields": "id INTEGER REQUIRED, name STRING, email STRING, department STRING, salary NUMERIC, hired_on DATE",
    },
}
_EVENT_FIELDS = "event_time TIMESTAMP, customer_id INTEGER, name STRING, page STRING, duration FLOAT"
_VIEW = (
    "CREATE OR REPLACE VIEW `acme.shop.customer_contacts` AS "
    "SELECT id, name, email, address.city AS city FROM `acme.shop.customers` WHERE newsletter"
)


def seed(emulator: Emulator) -> None:
    """Fills an empty emulator with project ``acme``, dataset ``shop``.

    Raises:
        SandboxError: if the emulator refuses any of it.
    """
    _call(
        emulator,
        "POST",
        f"/bigquery/v2/projects/{PROJECT}/datasets",
        {
            "datasetReference": {"projectId": PROJECT, "datasetId": DATASET},
            "description": "A small shop",
            "location": "US",
        },
    )
    rows = {"customers": list(_customers()), "orders": list(_orders()), "employees": list(_employees())}
    with tempfile.TemporaryDirectory(dir=emulator.directory, prefix="seed-") as directory:
        for table, schema in _SCHEMAS.items():
            _create(emulator, table, schema)
            _load(emulator, table, rows[table], Path(directory))
        for day in range(_EVENT_DAYS):
            table = f"events_{_FIRST_DAY + timedelta(days=day):%Y%m%d}"
            _create(emulator, table, {"description": "What visitors did on one day.", "fields": _EVENT_FIELDS})
            _load(emulator, table, _events(day), Path(directory))
    _run(emulator, _VIEW)


def next_day(emulator: Emulator) -> None:
    """A day later in the shop: new orders, one more customer, one who moved. The same change every time."""
    generator = random.Random(_SEED + 1)  # noqa: S311 - shop data, not secrets.
    day = _FIRST_DAY + timedelta(days=_DAYS)
    with tempfile.TemporaryDirectory(dir=emulator.directory, prefix="seed-") as directory:
        new = [_order(generator, _ORDERS + number + 1, day) for number in range(25)]
        _load(emulator, "orders", new, Path(directory))
        _load(emulator, "customers", [_customer(generator, _CUSTOMERS + 1)], Path(directory))
    _run(emulator, "UPDATE `acme.shop.orders` SET status = 'shipped' WHERE status = 'paid' AND id <= 300")


def _customers() -> Iterator[dict[str, Any]]:
    generator = random.Random(_SEED)  # noqa: S311
    for number in range(1, _CUSTOMERS + 1):
        yield _customer(generator, number)


def _customer(generator: random.Random, number: int) -> dict[str, Any]:
    first, last = generator.choice(_FIRST_NAMES), generator.choice(_LAST_NAMES)
    city, country = generator.choice(_CITIES)
    created = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=generator.randrange(365 * 24 * 60))
    return {
        "id": number,
        "name": f"{first} {last}",
        "email": f"{_ascii(first)}.{_ascii(last)}{number}@mail.example",
        # The ranges that are set aside for fiction.
        "phone": f"+44 20 7946 0{generator.randrange(1000):03d}",
        "address": {
            "street": f"{generator.randrange(1, 200)} {generator.choice(_STREETS)}",
            "city": city,
            "zip": f"{generator.randrange(10000, 99999)}",
            "country": country,
        },
        "newsletter": generator.random() < 0.6,  # noqa: PLR2004
        "created_at": created.isoformat(),
    }


def _orders() -> Iterator[dict[str, Any]]:
    generator = random.Random(_SEED + 2)  # noqa: S311
    for number in range(1, _ORDERS + 1):
        yield _order(generator, number, _FIRST_DAY + timedelta(days=number * _DAYS // (_ORDERS + 1)))


def _order(generator: random.Random, number: int, day: date) -> dict[str, Any]:
    bought = [
        (product, generator.randrange(1, 5)) for product in generator.sample(_PRODUCTS, generator.randrange(1, 4))
    ]
    cents = sum(quantity * int(price.replace(".", "")) for (_, _, price), quantity in bought)
    items = [
        {"sku": sku, "name": name, "quantity": quantity, "price": price} for (sku, name, price), quantity in bought
    ]
    return {
        "id": number,
        "customer_id": generator.randrange(1, _CUSTOMERS + 1),
        "order_date": day.isoformat(),
        "status": generator.choice(("paid", "shipped", "shipped", "returned")),
        "items": items,
        "total": f"{cents // 100}.{cents % 100:02d}",
    }


def _employees() -> Iterator[dict[str, Any]]:
    generator = random.Random(_SEED + 3)  # noqa: S311
    for number in range(1, _EMPLOYEES + 1):
        first, last = generator.choice(_FIRST_NAMES), generator.choice(_LAST_NAMES)
        yield {
            "id": number,
            "name": f"{first} {last}",
            "email": f"{_ascii(first)}.{_ascii(last)}{number}@acme.example",
            "department": _DEPARTMENTS[number % len(_DEPARTMENTS)],
            "salary": f"{generator.randrange(38_000, 120_000, 500)}.00",
            "hired_on": (date(2015, 1, 1) + timedelta(days=generator.randrange(3650))).isoformat(),
        }


def _events(day: int) -> Iterator[dict[str, Any]]:
    generator = random.Random(_SEED + 100 + day)  # noqa: S311
    midnight = datetime.combine(_FIRST_DAY + timedelta(days=day), datetime.min.time(), UTC)
    for _ in range(_EVENTS_A_DAY):
        yield {
            "event_time": (midnight + timedelta(seconds=generator.randrange(86_400))).isoformat(),
            "customer_id": generator.randrange(1, _CUSTOMERS + 1),
            "name": generator.choice(("view", "view", "view", "add_to_cart", "checkout")),
            "page": f"/product/{generator.choice(_PRODUCTS)[0].lower()}",
            "duration": round(generator.expovariate(1 / 30), 2),
        }


def _create(emulator: Emulator, table: str, schema: dict[str, Any]) -> None:
    body: dict[str, Any] = {
        "tableReference": {"projectId": PROJECT, "datasetId": DATASET, "tableId": table},
        "description": schema["description"],
        "schema": {"fields": _fields(schema["fields"])},
    }
    if "partition" in schema:
        body["timePartitioning"] = {"type": "DAY", "field": schema["partition"]}
    _call(emulator, "POST", f"/bigquery/v2/projects/{PROJECT}/datasets/{DATASET}/tables", body)


def _fields(text: str) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = []
    depth, start = 0, 0
    for position, letter in enumerate(f"{text},"):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            head, _, below = text[start:position].strip().partition("(")
            name, kind, *mode = head.split()
            fields.append({"name": name, "type": kind, "mode": mode[0] if mode else "NULLABLE"})
            if below:
                fields[-1]["fields"] = _fields(below.removesuffix(")"))
            start = position + 1
    return fields


def _load(emulator: Emulator, table: str, rows: Iterable[dict[str, Any]], directory: Path) -> None:
    path = directory / f"{table}.json"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    load = {
        "destinationTable": {"projectId": PROJECT, "datasetId": DATASET, "tableId": table},
        "sourceUris": [f"file://{quote(str(path))}"],
        "sourceFormat": "NEWLINE_DELIMITED_JSON",
        "writeDisposition": "WRITE_APPEND",
    }
    _job(emulator, {"load": load})


def _run(emulator: Emulator, statement: str) -> None:
    _job(emulator, {"query": {"query": statement, "useLegacySql": False}})


def _job(emulator: Emulator, configuration: dict[str, Any]) -> None:
    job = _call(emulator, "POST", f"/bigquery/v2/projects/{PROJECT}/jobs", {"configuration": configuration})
    if error := job["status"].get("errorResult"):
        raise SandboxError(f"The local BigQuery did not take the shop's data: {error['message']}")


def _call(emulator: Emulator, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = emulator.call(method, path, json_body=body)
    if status != 200:  # noqa: PLR2004
        raise SandboxError(f"The local BigQuery did not take the shop's data: {answer}")
    return dict(answer)


def _ascii(name: str) -> str:
    letters = {"ö": "oe", "ü": "ue", "é": "e", "í": "i", "á": "a"}
    return "".join(letters.get(letter, letter) for letter in name.lower())
