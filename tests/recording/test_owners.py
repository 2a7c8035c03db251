"""The first claim stands, and none is forgotten too early."""

import time

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.recording import Owner
from hoop_mitm.recording.owners import CAPACITY, LIFETIME, Claim, Owners

ALICE, BOB = Owner("https://i#alice", "acme"), Owner("https://i#bob", "acme")
JOB = Resource("job", "acme:job1")
NOW = 1_800_000_000.0


def test_what_alice_has_claimed_bob_cannot_claim() -> None:
    owners = Owners([Claim(JOB, ALICE, NOW)], now=NOW)
    assert list(owners.new({JOB: BOB}, NOW)) == []
    owners.add([Claim(JOB, BOB, NOW + 1)])
    assert owners.get(JOB) == ALICE


def test_on_start_the_older_of_two_claims_stands() -> None:
    assert Owners([Claim(JOB, BOB, NOW), Claim(JOB, ALICE, NOW - 5)], now=NOW).get(JOB) == ALICE


def test_nobody_owns_what_nobody_claimed() -> None:
    assert Owners(now=NOW).get(JOB) is None
    assert Owners([Claim(JOB, ALICE, NOW)], now=NOW).get(Resource("table", "acme:job1")) is None


def test_claims_older_than_a_week_are_forgotten() -> None:
    recent = Claim(Resource("job", "acme:job2"), ALICE, NOW)
    assert Owners([Claim(JOB, ALICE, NOW - LIFETIME - 1), recent], now=NOW).get(JOB) is None
    assert Owners([Claim(JOB, ALICE, NOW - LIFETIME + 1), recent], now=NOW).get(JOB) == ALICE


def test_a_clock_that_jumped_forgets_nothing() -> None:
    year = 365 * 86400
    one_from_the_future = Claim(Resource("job", "acme:odd"), ALICE, NOW + year)
    assert Owners([Claim(JOB, ALICE, NOW), one_from_the_future], now=NOW).get(JOB) == ALICE
    assert Owners([Claim(JOB, ALICE, NOW)], now=NOW + year).get(JOB) == ALICE
    assert Owners([Claim(JOB, ALICE, NOW)], now=NOW - year).get(JOB) == ALICE


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.owners.CAPACITY", 1000)
    owners = Owners(now=time.time())
    for number in range(1005):
        owners.add([Claim(Resource("job", str(number)), ALICE, NOW)])
    assert owners.get(Resource("job", "0")) is None
    assert owners.get(Resource("job", "1004")) == ALICE
    assert CAPACITY == 1_000_000
