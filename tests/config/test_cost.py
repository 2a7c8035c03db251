"""How `hoop.yaml` says what statements may cost."""

from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hoop_mitm.config import Cost, load
from hoop_mitm.config.cost import zone_of
from hoop_mitm.errors import ConfigError

BUDGET: dict[str, Any] = {"name": "b", "per": "principal", "every": "day", "bytes": "1GiB"}


def test_nothing_is_limited_unless_it_is_said() -> None:
    assert (Cost().ceilings, Cost().budgets, Cost().price_per_tib) == ((), (), Decimal("6.25"))


@pytest.mark.parametrize(
    ("cost", "complaint"),
    [
        ({"ceilings": [{"name": "c"}]}, "needs one of"),
        ({"ceilings": [{"name": "c", "bytes": "1GB", "money": 1}]}, "needs one of"),
        ({"ceilings": [{"name": "c", "bytes": 0}]}, "greater than 0"),
        ({"ceilings": [{"name": "c", "money": -1}]}, "greater than 0"),
        ({"ceilings": [{"name": "c", "bytes": "1GBit"}]}, "500MB"),
        ({"ceilings": [{"name": "c", "bytes": True}]}, "500MB"),
        ({"ceilings": [{"name": "A B", "bytes": 1}]}, "pattern"),
        ({"ceilings": [{"name": "c", "bytes": 1}, {"name": "c", "bytes": 2}]}, "two are called c"),
        ({"budgets": [BUDGET, BUDGET]}, "two are called b"),
        ({"budgets": [BUDGET | {"per": "planet"}]}, "session"),
        ({"budgets": [BUDGET | {"every": "year"}]}, "month"),
        ({"price_per_tib": 0}, "greater than 0"),
        ({"timezone": "Berlin"}, "Europe/Berlin"),
        ({"timezone": "../../etc/passwd"}, "Europe/Berlin"),
    ],
)
def test_what_cannot_be_meant_is_refused(cost: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Cost.model_validate(cost)


def test_the_default_zone_needs_no_table_of_zones() -> None:
    assert zone_of("UTC") is UTC


def test_a_limit_for_a_connection_that_there_is_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "hoop.yaml").write_text(
        """
identity: {issuers: [{issuer: https://idp.acme.example, audiences: [hoop]}]}
connections: [{name: warehouse, projects: [acme], credential: {type: adc}}]
cost: {ceilings: [{name: c, bytes: 1TiB, connections: [wharehouse]}]}
"""
    )

    with pytest.raises(ConfigError, match="wharehouse"):
        load(tmp_path / "hoop.yaml")
