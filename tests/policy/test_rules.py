"""What names in a statement mean that rules are asked about."""

import json

import pytest

from hoop_mitm import bigquery
from hoop_mitm.errors import Denied
from hoop_mitm.policy.rules import names_of
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
