"""What the official Python client does besides asking: loading rows by a multipart upload."""

import json
import sys

from uuid_utils import uuid4

from hoop_mitm.devkit.world import World
from tests.clients.clients import DRIVERS, Python, printed, run
from tests.gateways import RunningGateway


def load(environment: dict[str, str], table: str, rows: object) -> dict[str, object]:
    return printed(run(environment, sys.executable, DRIVERS / "python_rest.py", "load", table, json.dumps(rows))).said


def test_load_table_from_json_loads_rows_that_a_query_then_finds(gateway: RunningGateway) -> None:
    table = f"acme.shop.loaded_{uuid4().hex}"
    environment = gateway.environment()

    assert load(environment, table, [{"city": "Porto", "visits": 3}, {"city": "Lyon", "visits": 5}]) == {"loaded": 2}

    found = Python("query").query(environment, f"SELECT city, visits FROM `{table}` ORDER BY visits")
    assert found.result == [{"city": "Porto", "visits": "3"}, {"city": "Lyon", "visits": "5"}]


def test_an_upload_without_an_identity_goes_nowhere(gateway: RunningGateway, world: World) -> None:
    before = len(world.bigquery.requests())

    refused = load(gateway.environment(token="garbage"), "acme.shop.never", [{"a": 1}])

    assert "hoop-mitm" in str(refused["error"])
    assert world.bigquery.requests()[before:] == []


def test_rows_that_do_not_fit_are_bigquerys_error(gateway: RunningGateway) -> None:
    table = f"acme.shop.loaded_{uuid4().hex}"
    environment = gateway.environment()
    load(environment, table, [{"visits": 3}])

    assert "error" in load(environment, table, [{"visits": "not a number"}])
