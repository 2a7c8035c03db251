import csv
import io
import json

import pytest

from tests.archive.building import NOON, columns, seconds, table_ref

STATEMENT = "SELECT country, COUNT(*) AS n\nFROM shop.orders\nGROUP BY country"


@pytest.fixture
def told(recording):
    builder = recording.builder
    session = builder.session("nightly")
    builder.flow(session, at=NOON, door="datasets.list")
    schema = columns(country="STRING", n="INTEGER", price="NUMERIC", extra="JSON", tags="STRING*")
    rows = [("DE", 2, "1.50", '{"a": 1}', ["x", "y"]), ("a,b\n", 2**60, None, None, [])]
    tables = [table_ref("acme.shop.orders")]
    builder.asked(session, STATEMENT, schema, rows, at=NOON + seconds(1), id="job_rows", referenced_tables=tables)
    builder.job(session, "SELEC 1", at=NOON + seconds(2), id="job_bad", error="Syntax error at [1:1]")
    denied = {"state": "DENIED", "decision": "deny", "rule": "read_only", "message": "Analysts do not write."}
    key = builder.job(session, "DROP TABLE shop.orders", at=NOON + seconds(3), id=None, **denied)
    builder.flow(session, at=NOON + seconds(3), job_key=key, door="jobs.query", decision="deny", state="refused")
    builder.event(session, "identity.refused", "The token has expired.", at=NOON + seconds(4))
    return recording


def test_people_see_who_what_was_read_and_what_needs_attention_before_the_jobs(told):
    output = told.run("show", "nightly").stdout
    places = [
        output.index(words)
        for words in (
            "alice@acme.test  groups analysts",
            "2026-11-22 12:00:00 to 12:01:00",
            "1 denied",
            "acme.shop.orders  by #1",
            "#2 ERROR  Syntax error",
            "#3 DENIED  read_only: Analysts do not write.",
            "identity.refused: The token has expired.",
            "#1  12:00:01  ok  SELECT  2 rows",
            "FROM shop.orders",
            "Without a job: 1 x datasets.list",
        )
    ]
    assert places == sorted(places)


def test_tables_that_were_read_without_a_job_are_told_too(recording):
    session = recording.builder.session()
    given = {"tables": [table_ref("acme.hr.salaries")]}
    recording.builder.flow(session, door="tabledata.list", **given)
    recording.builder.flow(session, door="tables.get", tables=[table_ref("acme.hr.other")])
    refused = {"door": "tabledata.list", "tables": [table_ref("acme.hr.secret")], "state": "refused"}
    recording.builder.flow(session, decision="deny", status=403, **refused)
    told = recording.run("show").stdout
    assert "acme.hr.salaries  by tabledata.list" in told
    assert "acme.hr.other" not in told
    assert "acme.hr.secret" not in told.split("Needs attention")[0]


def test_without_a_name_it_is_the_newest(told):
    told.builder.session("newer", at=NOON + seconds(99))
    assert "newer" in told.run("show").stdout


def test_every_exchange_is_listed_when_asked_for(told):
    assert "Exchanges" not in told.run("show", "nightly").stdout
    lines = told.run("show", "nightly", "--flows").stdout.split("Exchanges\n")[1].splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["datasets.list", "jobs.query", "jobs.query"]


def test_the_json_has_the_session_its_jobs_and_its_flows(told):
    found = json.loads(told.run("show", "@last", "--json").stdout)
    assert (found["name"], found["denied"], len(found["flows"]), len(found["events"])) == ("nightly", 1, 3, 1)
    job = found["jobs"][0]
    expected = {
        "id": "job_rows",
        "project": "acme",
        "location": "EU",
        "statement": STATEMENT,
        "executed_statement": None,
        "statement_type": "SELECT",
        "referenced_tables": ["acme.shop.orders"],
        "dry_run": False,
        "state": "DONE",
        "error": None,
        "verdict": {"decision": "allow", "rule": "known_principal", "message": None},
        "bytes_processed": 1000,
        "bytes_billed": 10 * 2**20,
        "cache_hit": False,
        "row_count": 2,
        "started_at": "2026-11-22T12:00:01.000000Z",
        "ended_at": "2026-11-22T12:00:02.000000Z",
    }
    assert {name: job[name] for name in expected} == expected
    assert job["schema"]["fields"][1] == {"name": "n", "type": "INTEGER", "mode": "NULLABLE"}
    assert job["flows"] == [found["flows"][1]["id"]]
    assert found["jobs"][2]["id"] is None
    assert found["jobs"][2]["verdict"] == {"decision": "deny", "rule": "read_only", "message": "Analysts do not write."}


@pytest.mark.parametrize("reference", ["job_rows", "job_r", "1", "#1"])
def test_one_job_is_shown_whole_with_its_first_rows(told, reference):
    output = told.run("show", "nightly", "--job", reference).stdout
    for words in ("Job job_rows", "FROM shop.orders", "acme · EU", "2 rows", "country", "DE", "jobs.query"):
        assert words in output
    assert json.loads(told.run("show", "nightly", "--job", reference, "--json").stdout)["id"] == "job_rows"


def test_rows_come_as_a_table_as_json_and_as_csv(told):
    arguments = ("show", "nightly", "--job", "job_rows", "--rows")
    lines = told.run(*arguments).stdout.splitlines()
    assert lines[0].split(" ┃ ")[:2] == ["country", "                  n"]
    expected = [
        {"country": "DE", "n": 2, "price": "1.5", "extra": {"a": 1}, "tags": ["x", "y"]},
        {"country": "a,b\n", "n": 2**60, "price": None, "extra": None, "tags": []},
    ]
    assert json.loads(told.run(*arguments, "--json").stdout) == expected
    read = list(csv.DictReader(io.StringIO(told.run(*arguments, "--csv").stdout, newline="")))
    assert [row["country"] for row in read] == ["DE", "a,b\n"]
    assert read[0] | {"country": ""} == {
        "country": "",
        "n": "2",
        "price": "1.5",
        "extra": '{"a": 1}',
        "tags": '["x", "y"]',
    }
    assert read[1]["price"] == ""
    assert len(json.loads(told.run(*arguments, "--json", "--limit", "1").stdout)) == 1


@pytest.mark.parametrize(("job", "words"), [("job_bad", "it failed"), ("3", "it was denied")])
def test_where_there_are_no_rows_it_says_why(told, job, words):
    result = told.run("show", "nightly", "--job", job, "--rows")
    assert result.stdout == ""
    assert words in result.stderr
    assert json.loads(told.run("show", "nightly", "--job", job, "--rows", "--json").stdout) == []


def test_part_of_a_result_is_said_to_be_part(recording):
    session = recording.builder.session()
    key = recording.builder.job(session, "SELECT 1", schema='{"fields": [{"name": "a", "type": "INTEGER"}]}')
    answer = {"rows": [{"f": [{"v": "1"}]}], "totalRows": "5", "pageToken": "x"}
    recording.builder.flow(session, job_key=key, response_body=answer)
    result = recording.run("show", "--job", "1", "--rows", "--json")
    assert json.loads(result.stdout) == [{"a": 1}]
    assert "did not read the whole result" in result.stderr


def test_one_exchange_has_headers_and_bodies(told):
    flow = json.loads(told.run("show", "--json").stdout)["flows"][1]["id"]
    output = told.run("show", "--flow", flow[-6:]).stdout
    assert "host: bigquery.googleapis.com" in output
    assert '"totalRows": "2"' in output
    found = json.loads(told.run("show", "--flow", flow, "--json").stdout)
    assert json.loads(found["request_body"])["query"] == STATEMENT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows"], "--rows needs --job"),
        (["--csv"], "--csv and --limit belong to --rows"),
        (["--job", "1", "--rows", "--csv", "--json"], "choose one"),
        (["--job", "1", "--flow", "1"], "choose one"),
        (["--job", "9"], "has 3 jobs, and none has the id or number '9'"),
        (["--flow", "zzz"], "No flow of the session nightly"),
        (["--no-such"], "No such option"),
    ],
)
def test_a_wrong_command_line_is_exit_2_with_the_reason(told, arguments, words):
    result = told.run("show", "nightly", *arguments, expect=2)
    assert result.stdout == ""
    assert words in result.stderr


@pytest.mark.parametrize(
    ("reference", "words"),
    [("zzz", "No session in"), ("nightly", "nightly~0 is the newest"), ("@last~7", "only 2 sessions")],
)
def test_an_unknown_or_ambiguous_session_is_exit_2_with_the_next_step(told, reference, words):
    told.builder.session("nightly", at=NOON - seconds(100))
    result = told.run("show", reference, expect=2)
    assert words in result.stderr
    assert "hoop-mitm: " in result.stderr


def test_brackets_are_no_markup(recording):
    session = recording.builder.session("[red]")
    recording.builder.job(session, "SELECT a[0] FROM t -- [/red]")
    output = recording.run("show", "--job", "1").stdout + recording.run("show").stdout
    assert output.count("[red]") == 1
    assert output.count("a[0] FROM t -- [/red]") == 2


def test_nothing_recorded_steers_the_terminal(recording):
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    session = recording.builder.session(evil, email=evil, agent=evil, connection=evil)
    recording.builder.asked(session, f"SELECT '{evil}'", columns(a="STRING"), [(evil,)], error=evil, id="job_evil")
    recording.builder.event(session, "identity.refused", evil)
    recording.builder.flow(session, door=None, url=f"https://x/{evil}", error=evil, state="failed")
    for arguments in (["sessions"], ["show"], ["show", "--flows"], ["show", "--job", "1"], ["replay", "--instant"]):
        output = recording.run(*arguments).stdout
        assert not set(output) & set("\x1b\x07\x9b\u202e"), arguments


def test_the_program_that_asked_is_shown_where_it_is_known(recording):
    process = [{"pid": 7, "name": "Cursor\x1b[31m", "path": "", "script": None}]
    recording.builder.session("nightly", process=json.dumps(process))
    shown = recording.run("show", "nightly").stdout
    assert "program  Cursor" in shown
    assert "\x1b[31m" not in shown
    told = json.loads(recording.run("show", "nightly", "--json").stdout)
    assert (told["program"], told["processes"][0]["pid"]) == ("Cursor\x1b[31m", 7)
    assert "Cursor" in recording.run("sessions").stdout
