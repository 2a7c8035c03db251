"""The policy in front of BigQuery: through the real gateway."""

import json

import pytest
from uuid_utils import uuid7

from hoop_mitm.config import load
from tests.attacks.raw import bigquery
from tests.faults.test_killed import QUERIES
from tests.gateways import RunningGateway
from tests.waiting import until

READERS = """
    - name: readers
      verdict: allow
      read_only: true
"""
RULES = f"""rules:
    - {{name: employees, verdict: deny, tables: [shop.employees], message: People are not for machines.}}
    - {{name: pipelines, verdict: allow, groups: [pipelines], opaque: true}}
    - {{name: no-customers, verdict: deny, tables: [shop.customers], behind_views: false, mode: observe}}
{READERS}"""


@pytest.fixture(scope="module")
def gateway(world, tmp_path_factory):
    directory = tmp_path_factory.mktemp("policy")
    (directory / "rules.yaml").write_text(RULES)
    with RunningGateway(world, directory, policy={"file": directory / "rules.yaml"}) as running:
        yield running


@pytest.fixture
def raw(gateway):
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as connection:
        yield connection


def ask(raw, world, sql, user="alice", **more):
    body = {"query": sql, "useLegacySql": False, **more}
    return raw.request("POST", QUERIES, token=world.issuer.token(user), body=body)


def said(got):
    return json.loads(got.body)["error"]["message"]


def verdicts(gateway, statement):
    return gateway.ask(f"SELECT decision, rule FROM jobs WHERE statement = '{statement}'")


def test_what_is_denied_goes_nowhere_and_its_record_says_under_which_policy(gateway, raw, world):
    statement = f"DELETE FROM shop.orders WHERE order_id = -1 /* {uuid7()} */"
    before = len(world.bigquery.requests())

    got = ask(raw, world, statement)

    assert got.status == 403
    assert json.loads(got.body)["error"]["errors"][0]["reason"] == "accessDenied"
    assert "(hoop-mitm, policy.default: DELETE, which changes acme.shop.orders." in said(got)
    assert "The policy allows you: what only reads." in said(got)
    # To look behind views, the gateway itself has tried what it would do.
    assert [seen for seen in world.bigquery.requests()[before:] if b"dryRun" not in (seen.body or b"")] == []
    assert verdicts(gateway, statement) == [("deny", "policy.default")]
    ((version,),) = gateway.ask(
        "SELECT details->>'policy' FROM events WHERE type = 'policy.loaded' ORDER BY seq LIMIT 1"
    )
    assert len(version) == 16
    refused = gateway.ask("SELECT details->>'rule' FROM events WHERE type = 'request.refused'")
    assert ("policy.default",) in refused


def test_a_table_behind_a_view_is_seen_by_asking_bigquery(gateway, raw, world):
    view = f"shop.v{uuid7().hex}"
    assert ask(raw, world, f"CREATE VIEW {view} AS SELECT * FROM shop.employees", "ci").status == 403
    assert ask(raw, world, f"CREATE VIEW {view} AS SELECT * FROM shop.orders", "ci").status == 200

    innocent = ask(raw, world, f"SELECT COUNT(*) FROM {view}")
    direct = ask(raw, world, "SELECT COUNT(*) FROM `shop`.employees")

    assert innocent.status == 200, innocent.body
    assert said(direct).startswith("People are not for machines. (hoop-mitm, policy.employees: SELECT")


def test_what_a_rule_would_have_said_that_only_observes_is_an_event(gateway, raw, world):
    statement = f"SELECT COUNT(*) FROM shop.customers /* {uuid7()} */"

    assert ask(raw, world, statement).status == 200

    assert verdicts(gateway, statement) == [("allow", "policy.readers")]
    [(details,)] = gateway.ask(
        "SELECT details FROM events WHERE type = 'policy.observed' AND flow_id IN "
        f"(SELECT flows.id FROM flows JOIN jobs ON job_key = jobs.key WHERE statement = '{statement}')"
    )
    told = json.loads(details)
    assert told["verdict"]["rule"] == "policy.readers"
    assert [(each["decision"], each["rule"]) for each in told["observed"]] == [("deny", "policy.no-customers")]


def test_where_recording_is_off_nothing_tells_of_what_was_allowed_and_all_of_what_was_not(world, tmp_path):
    """Neither what rules observed of a statement nor what it was estimated to cost; of a refusal, both."""
    rules = [
        {"name": "no-customers", "verdict": "deny", "tables": ["shop.customers"], "mode": "observe"},
        {"name": "readers", "verdict": "allow", "read_only": True},
    ]
    cost = {"ceilings": [{"name": "small", "bytes": "15MiB"}]}
    connection = next(iter(load(world.write_config(tmp_path / "theirs.yaml")).connections))
    off = [connection.model_dump(mode="json", exclude_none=True) | {"recording": "off"}]
    cheap = "SELECT COUNT(*) FROM shop.customers"
    dear = "SELECT COUNT(*) FROM shop.customers AS a JOIN shop.orders AS b ON b.customer_id = a.id"
    with RunningGateway(world, tmp_path, connections=off, policy={"rules": rules}, cost=cost) as gateway:
        with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
            assert ask(raw, world, cheap).status == 200
            refused = ask(raw, world, dear)
        assert (refused.status, "ceiling small" in said(refused)) == (403, True)
        flows = gateway.ask("SELECT id, state FROM flows")
        told = gateway.ask("SELECT type, flow_id FROM events WHERE flow_id IS NOT NULL ORDER BY type")
    assert [state for _, state in flows] == ["refused"]
    assert told == [(kind, flows[0][0]) for kind in ("cost.estimated", "policy.observed", "request.refused")]


def test_polls_of_ones_own_job_need_no_rule(gateway, raw, world):
    token = world.issuer.token("ci")
    made = json.loads(ask(raw, world, "SELECT 1 AS n", "ci").body)["jobReference"]

    poll = raw.request("GET", f"{QUERIES}/{made['jobId']}", token=token)

    assert poll.status == 200
    assert gateway.ask("SELECT DISTINCT rule FROM flows WHERE door = 'jobs.getQueryResults'") == [("policy.own",)]


def test_a_changed_file_holds_for_the_next_request_on_the_same_connection_and_a_wrong_one_changes_nothing(
    gateway, raw, world
):
    file = gateway.directory / "rules.yaml"
    question = "SELECT 1 + 1 AS two"
    assert ask(raw, world, question).status == 200

    try:
        put(file, RULES.replace("read_only: true", "read_only: true\n      when: vreb == 1"))
        until_event(gateway, "policy.refused", "there is no variable vreb")
        assert ask(raw, world, question).status == 200, "the rules from before hold"
        assert "NOT loaded" in gateway.log.read_text()

        put(file, RULES.replace("read_only: true", "groups: [nobody]"))
        until(lambda: ask(raw, world, question).status != 200)
        assert "policy.default" in said(ask(raw, world, question))
    finally:
        put(file, RULES)
    until(lambda: ask(raw, world, question).status == 200)
    versions = [
        v for (v,) in gateway.ask("SELECT details->>'policy' FROM events WHERE type = 'policy.loaded' ORDER BY seq")
    ]
    assert len(versions) == 3
    assert versions[0] == versions[2] != versions[1]


def put(file, text):
    """At once: half of a file is another policy, for a gateway that looks just then."""
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").replace(file)


def until_event(gateway, kind, words):
    told = f"SELECT CAST(details AS VARCHAR) FROM events WHERE type = '{kind}'"
    until(lambda: any(words in json.dumps(row) for row in gateway.ask(told)))
