"""What names in a statement mean that rules are asked about."""

import json

import pytest

from hoop_mitm import bigquery
from hoop_mitm.config import load
from hoop_mitm.errors import Denied
from hoop_mitm.policy import rules as rules_module
from hoop_mitm.policy.rules import Rules, names_of
from hoop_mitm.sql import understand

HR = {"datasetId": "hr"}


def tables(statement, **more):
    path = "/bigquery/v2/projects/acme/queries"
    door = bigquery.find("bigquery.googleapis.com", "POST", path)
    body = json.dumps({"query": statement, "useLegacySql": False, **more}).encode()
    operation = bigquery.read(door, path=path, query=[], headers={"content-type": "application/json"}, body=body)
    project, default = names_of(operation)
    return {str(table) for table in understand(statement, project=project, default_dataset=default).reads}


def prop(key, value):
    return {"connectionProperties": [{"key": key, "value": value}]}


HIDING = "IF FALSE THEN CREATE TEMP TABLE salaries AS SELECT 1 AS x; END IF; SELECT * FROM salaries"


@pytest.mark.parametrize(
    ("statement", "more", "expected"),
    [
        ("SELECT * FROM shop.a", {}, "acme.shop.a"),
        ("SELECT * FROM a", {"defaultDataset": HR}, "acme.hr.a"),
        ("SELECT * FROM shop.a", prop("dataset_project_id", "other"), "other.shop.a"),
        ("SELECT * FROM a", {"defaultDataset": HR, **prop("dataset_project_id", "other")}, "other.hr.a"),
        # In a session nobody knows which dataset is the default.
        ("SELECT * FROM a", {"defaultDataset": HR, **prop("session_id", "s")}, "acme..a"),
        (HIDING, {"defaultDataset": HR}, "acme.hr.salaries"),
        (HIDING, {"defaultDataset": HR, **prop("session_id", "s")}, "acme..salaries"),
    ],
)
def test_names_are_in_what_the_request_says(statement, more, expected):
    assert expected in tables(statement, **more)
    assert "acme.shop.a" not in tables(statement, **more) or expected == "acme.shop.a"


def test_two_projects_for_the_same_names_are_refused():
    with pytest.raises(Denied, match="different projects"):
        tables("SELECT * FROM a", defaultDataset={**HR, "projectId": "acme"}, **prop("dataset_project_id", "other"))


GATEWAY = """
identity: {{issuers: [{{issuer: 'https://127.0.0.1:1', audiences: [x]}}]}}
connections: [{{name: acme, projects: [acme], credential: {{type: adc}}}}]
policy: {{file: {file}}}
"""


def put(path, decision):
    path.write_text(f"rules: [{{name: all, verdict: {decision}}}]")


@pytest.fixture
def looked(tmp_path):
    """Rules that were looked at since they were read, and their file."""
    file = tmp_path / "rules.yaml"
    put(file, "allow")
    (tmp_path / "hoop.yaml").write_text(GATEWAY.format(file=file))
    made = Rules(load(tmp_path / "hoop.yaml"), tmp_path / "hoop.yaml", None)
    assert made.look().policy.version == made.policy.version
    assert made.look() is None
    yield made, file
    made.close()


def test_what_changed_between_the_reading_and_the_first_look_is_read(tmp_path):
    """A gateway needs a while to start."""
    file = tmp_path / "rules.yaml"
    put(file, "allow")
    (tmp_path / "hoop.yaml").write_text(GATEWAY.format(file=file))
    config = load(tmp_path / "hoop.yaml")
    file.with_name("others.yaml").write_text("rules: [{name: all, verdict: deny}]")
    (tmp_path / "hoop.yaml").write_text(GATEWAY.format(file=file.with_name("others.yaml")))
    made = Rules(config, tmp_path / "hoop.yaml", None)

    assert made.look().policy.version != made.policy.version

    made.close()


def test_what_changes_while_it_is_read_is_read_again(looked, monkeypatch):
    rules, file = looked
    put(file, "deny")

    read_while_it_changes(rules, file, monkeypatch)


def test_of_a_file_that_is_named_anew_what_changes_while_it_is_read_is_read_again(looked, monkeypatch):
    rules, file = looked
    other = file.with_name("other.yaml")
    put(other, "deny")
    file.with_name("hoop.yaml").write_text(GATEWAY.format(file=other))

    read_while_it_changes(rules, other, monkeypatch)


def read_while_it_changes(rules, file, monkeypatch):
    rules_of = rules_module.rules_of

    def read(config):
        found = rules_of(config)
        put(file, "deny, message: Not today.")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(rules_module, "rules_of", read)
        denied = rules.look().policy.version

    assert rules.look().policy.version not in {denied, rules.policy.version}
    assert rules.look() is None
