"""``hoop-mitm policy``: rules looked at, explained, and tried on a recording."""

import json

import pytest

from tests.archive.building import NOON, table_ref

HOOP = """identity:
  issuers: [{issuer: "https://login.acme.test", audiences: [hoop], groups: {"carol@acme.test": [analysts]}}]
connections:
  - {name: acme, projects: [acme], credential: {type: adc}}
policy:
  rules:
    - {name: readers, verdict: allow, groups: [analysts], read_only: true, max_bytes: 10GB}
    - {name: writers, verdict: allow, groups: [pipelines]}
"""
STRICTER = """rules:
- {name: people, verdict: deny, tables: [hr.*], message: Not these.}
- {name: large, verdict: review, over_bytes: 1TB, review: {groups: [reviewers]}}
- {name: readers, verdict: allow, groups: [analysts], read_only: true}
- {name: writers, verdict: allow, groups: [pipelines]}
"""
WRITE = "DELETE FROM shop.orders WHERE true"
SINCE = ("--since", "2026-01-01")
TB = 10**12


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hoop.yaml").write_text(HOOP)
    (tmp_path / "stricter.yaml").write_text(STRICTER)
    return tmp_path


def test_check_says_that_it_is_valid_and_what_is_odd(recording, place):
    (place / "odd.yaml").write_text("rules:\n- {name: a, verdict: deny}\n- {name: b, verdict: allow}\n")

    fine = recording.run("policy", "check")
    odd = json.loads(recording.run("policy", "check", "odd.yaml", "--json").stdout)

    assert fine.stdout.startswith("hoop.yaml: 2 rules, valid (policy ")
    assert "Not looked for" in fine.stderr
    assert odd["warnings"] == ["b never decides: a stands above it and matches whenever it would."]


@pytest.mark.parametrize("mistake", ["- {name: a, verdict: alow}", "- {name: a, verdict: allow, when: vreb}"])
def test_check_says_where_it_is_wrong(recording, place, mistake):
    (place / "wrong.yaml").write_text(f"rules:\n{mistake}\n")
    assert "wrong.yaml:2: " in recording.run("policy", "check", "wrong.yaml", expect=2).stderr


def test_explain_gives_facts_outcomes_and_the_verdict(recording, place):
    asked = ("policy", "explain", "--as", "alice@acme.test", "--groups", "analysts", "--json", "--", WRITE)

    told = json.loads(recording.run(*asked, expect=1).stdout)

    assert (told["facts"]["kinds"], told["facts"]["verb"]) == (["DELETE"], "write")
    assert told["facts"]["writes"] == ["acme.shop.orders"]
    assert [(rule["rule"], rule["state"]) for rule in told["rules"]] == [
        ("readers", "differs"),
        ("writers", "not_meant"),
    ]
    assert (told["verdict"]["decision"], told["verdict"]["rule"]) == ("deny", "policy.default")
    assert "The policy allows you: what only reads, up to 10 GB." in told["verdict"]["message"]


def test_explain_knows_groups_from_the_configuration_and_supposes_what_it_would_read(recording, place):
    asked = ("policy", "explain", "--as", "carol@acme.test", "--json")

    small = recording.run(*asked, "--bytes", "1GB", "--", "SELECT * FROM shop.orders")
    large = recording.run(*asked, "--bytes", "1TB", "--", "SELECT * FROM shop.orders", expect=1)
    unknown = recording.run(*asked, "--", "SELECT * FROM shop.orders", expect=1)

    assert json.loads(small.stdout)["verdict"] == {"decision": "allow", "rule": "policy.readers", "message": ""}
    assert json.loads(large.stdout)["rules"][0]["why"] == "it covers up to 10 GB, and this would read 1 TB"
    assert json.loads(unknown.stdout)["needs_estimate"]


def test_explain_says_when_groups_are_not_known(recording, place):
    told = recording.run("policy", "explain", "--as", "dave", "--", "SELECT 1", expect=1)
    assert "Which groups dave is in is not known here" in told.stderr
    assert "readers  allow    not meant  it is for analysts" in told.stdout


def test_explain_without_a_configuration_goes_by_the_sandboxs(recording, place):
    (place / "hoop.yaml").unlink()

    told = recording.run("policy", "explain", "--as", "alice", "--json", "--", WRITE, expect=1)

    assert json.loads(told.stdout)["verdict"]["rule"] == "policy.analysts-do-not-write"
    recording.run("policy", "explain", "--as", "ci", "--json", "--", WRITE)


def test_test_finds_exactly_what_a_new_policy_would_decide_otherwise(recording, place):
    build = recording.builder
    alice = build.session()
    ci = build.session("load", subject="ci", email=None, groups=["pipelines"], kind="machine")
    for _ in range(3):
        build.job(alice, "SELECT * FROM shop.orders", bytes_processed=5, bytes_billed=10)
    hr = [table_ref("acme.hr.salaries")]
    build.job(alice, "SELECT * FROM shop.v", bytes_processed=5, bytes_billed=TB, referenced_tables=hr)
    build.job(alice, "SELECT * FROM shop.events", bytes_processed=5 * TB, bytes_billed=5 * TB)
    refused = {"decision": "deny", "id": None, "state": "DENIED", "bytes_processed": None}
    build.job(alice, "SELECT * FROM shop.other", rule="policy.default", **refused)
    build.job(alice, "SELECT * FROM shop.x", rule="ownership.table", **refused)
    build.job(ci, WRITE, statement_type="DELETE", bytes_processed=5)
    build.job(ci, None, job_type="LOAD", statement_type=None, destination=table_ref("acme.shop.orders"))
    build.job(alice, None)
    build.job(ci, "SELECT * FROM `shop`.old", at=NOON.replace(year=2025), bytes_processed=9 * TB)

    told = json.loads(recording.run("policy", "test", *SINCE, "--policy", "stricter.yaml", "--json", expect=1).stdout)

    assert (told["jobs"], told["unread"], told["unestimated"], told["otherwise_refused"]) == (10, 1, 1, 1)
    assert (told["newly_denied"], told["newly_allowed"], told["newly_reviewed"]) == (1, 0, 1)
    assert [(each["change"], each["principal"], each["rule"], each["jobs"]) for each in told["changes"]] == [
        ("newly reviewed", "alice@acme.test", "policy.large", 1),
        ("newly denied", "alice@acme.test", "policy.people", 1),
    ]
    denied = told["changes"][1]
    assert (denied["bytes_billed"], denied["example"]) == (TB, "SELECT * FROM shop.v")
    assert denied["price"] == pytest.approx(6.25 * TB / 2**40)


def test_test_takes_the_default_dataset_from_what_bigquery_said(recording, place):
    build = recording.builder
    orders = [table_ref("acme.shop.orders")]
    build.job(build.session(), "SELECT * FROM orders", bytes_processed=5, referenced_tables=orders)
    (place / "shop.yaml").write_text("rules:\n- {name: shop, verdict: allow, tables: [shop.*]}\n")

    told = recording.run("policy", "test", *SINCE, "--policy", "shop.yaml")

    assert told.stdout == "1 recorded job, 0 of them decided otherwise by policy " + told.stdout[-18:]


def test_test_tells_apart_only_what_conditions_ask_for(recording, place):
    build = recording.builder
    session = build.session()
    for hour in range(4):
        build.job(session, "SELECT 1", at=NOON.replace(hour=hour), labels={"hoop-session": str(hour), "team": "a"})
    (place / "late.yaml").write_text(
        "rules:\n- {name: late, verdict: deny, when: now.getHours() < 2 && 'team' in labels}\n- {name: rest, verdict: allow}\n"
    )

    told = json.loads(recording.run("policy", "test", *SINCE, "--policy", "late.yaml", "--json", expect=1).stdout)

    assert [(each["rule"], each["jobs"]) for each in told["changes"]] == [("policy.late", 2)]
