"""Exhibits of the museum on their way: an unmodified client, a real gateway with a read-only policy, and BigQuery behind."""

import json
import sys
from pathlib import Path

from hoop_mitm.devkit.world import World
from tests.attacks.museum import ROOMS
from tests.clients import clients
from tests.gateways import RunningGateway


def test_each_room_has_an_exhibit_at_the_gateway(world: World, tmp_path: Path) -> None:
    # The largest are for those who have the time.
    short = {room: [each for each in exhibits if len(each.statement) < 1000] for room, exhibits in ROOMS.items()}
    denied = [
        next(each.statement for each in exhibits if each.taken != "read")
        for room, exhibits in short.items()
        if room != "size and depth"
    ]
    denied.append(next(each.statement for each in ROOMS["size and depth"] if each.taken == "opaque"))
    allowed = ["SELECT 1 AS `delete` -- ; DROP TABLE shop.orders"]
    (tmp_path / "statements.json").write_text(json.dumps([*denied, *allowed]))
    policy = {"rules": [{"name": "readers", "verdict": "allow", "read_only": True}]}

    with RunningGateway(world, tmp_path / "gateway", policy=policy) as gateway:
        driver = clients.DRIVERS / "python_each.py"
        said = clients.printed(
            clients.run(gateway.environment(), sys.executable, driver, tmp_path / "statements.json")
        ).said

    assert said["outcomes"][len(denied) :] == ["1 rows"]
    for statement, outcome in zip(denied, said["outcomes"], strict=False):
        assert outcome.startswith("403"), (statement[:100], outcome)
        assert "policy.default" in outcome, (statement[:100], outcome)
    arrived = [json.loads(seen.body) for seen in world.bigquery.requests() if seen.body.startswith(b"{")]
    queries = [each.get("configuration", each) for each in arrived]
    ran = {
        each.get("query", {}).get("query")
        for each in queries
        if isinstance(each.get("query"), dict) and not each.get("dryRun")
    }
    assert ran.isdisjoint(denied)
    assert ran.issuperset(allowed)
