"""`hoop-mitm reviews` as a reviewer types it, at a real gateway."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from uuid_utils import uuid7

from hoop_mitm.cli import main
from hoop_mitm.devkit.world import World
from tests.addons.test_reviews import Person, result
from tests.gateways import RunningGateway
from tests.laptops import Laptop

RULES = [
    {
        "name": "all",
        "verdict": "review",
        "doors": ["jobs.insert"],
        "review": {"groups": ["reviewers"], "expires": "1h"},
    },
]


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(world, tmp_path_factory.mktemp("reviews"), policy={"rules": RULES}) as running:
        yield running


@pytest.fixture(scope="module")
def bob(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    laptop = Laptop(tmp_path_factory.mktemp("bob"), gateway)
    laptop.sign_in("bob")
    return laptop


def hoop(laptop: Laptop, *arguments: str, expect: int = 0) -> Result:
    result = CliRunner(env=laptop.environment).invoke(main, ["reviews", *arguments])
    assert result.exit_code == expect, result.output
    return result


def held(gateway: RunningGateway, statement: str, user: str = "alice") -> str:
    job = f"job-{uuid7()}"
    Person(gateway, user).insert(statement, job)
    return job


def found(laptop: Laptop, job: str) -> str:
    listed = json.loads(hoop(laptop, "list", "--all", "--json").stdout)
    (review,) = [each["id"] for each in listed if each["job"] == job]
    return str(review)


def test_a_reviewer_looks_and_lets_it_run(gateway: RunningGateway, bob: Laptop) -> None:
    job = held(gateway, "SELECT name FROM shop.customers ORDER BY id LIMIT 1 -- hoop.reason: who was first?")
    review = found(bob, job)

    assert review[:13] in hoop(bob, "list").stdout
    shown = hoop(bob, "show", review[:20]).stdout
    for part in (
        "alice@acme.example",
        "who was first?",
        "acme.shop.customers",
        "SELECT",
        "policy.all",
        "1 of reviewers",
    ):
        assert part in shown
    digest = json.loads(hoop(bob, "show", review, "--json").stdout)["digest"]
    # Nobody is there to be asked.
    assert "--digest" in hoop(bob, "approve", review, expect=2).output
    assert "Look at it again" in hoop(bob, "approve", review, "--digest", "0" * 64, expect=1).output
    said = json.loads(hoop(bob, "approve", review, "--digest", digest, "-m", "fine", "--json").stdout)
    assert said["approvals"][0]["message"] == "fine"

    rows = result(Person(gateway, "alice"), job)
    assert rows["rows"][0]["f"][0]["v"] == "Björn Ahmed"
    assert "EXECUTED" in hoop(bob, "approve", review, "--yes", expect=1).output


def test_a_reviewer_refuses(gateway: RunningGateway, bob: Laptop) -> None:
    review = found(bob, held(gateway, "SELECT 2"))

    assert "Not today." in hoop(bob, "reject", review, "-m", "Not today.").stdout
    assert review not in json.dumps(json.loads(hoop(bob, "list", "--json").stdout))
    assert "Not today." in hoop(bob, "show", review).stdout


def test_what_is_not_there_and_what_is_ones_own(gateway: RunningGateway, bob: Laptop, tmp_path: Path) -> None:
    own = found(bob, held(gateway, "SELECT 3", user="bob"))

    assert "your own request" in hoop(bob, "approve", own, "--yes", expect=1).output
    assert "your own request" in hoop(bob, "show", own).stdout
    assert "There is no review" in hoop(bob, "show", "ffffffff", expect=2).output
    stranger = Laptop(tmp_path, gateway)
    assert "hoop-mitm login" in hoop(stranger, "list", expect=1).output


def test_following(gateway: RunningGateway, bob: Laptop) -> None:
    watching = subprocess.Popen(
        bob.command("reviews", "watch", "--json"), env=bob.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        job = held(gateway, "SELECT 4")
        seen: list[str] = []
        assert watching.stdout
        for line in watching.stdout:
            said = json.loads(line)
            # Of a review that is made while the list is read, it is told twice that it waits.
            if said["job"] != job or said["state"] in seen:
                continue
            seen.append(said["state"])
            if said["state"] == "PENDING":
                hoop(bob, "reject", said["id"])
            else:
                break
        assert seen == ["PENDING", "REJECTED"]
    finally:
        watching.kill()
        watching.wait()
