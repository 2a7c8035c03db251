import json

import pytest

from tests.archive.building import NOON, columns, seconds, table_ref


@pytest.fixture
def told(recording):
    builder = recording.builder
    session = builder.session("nightly")
    tables = [table_ref("acme.hr.salaries")]
    builder.asked(
        session,
        "SELECT name, amount\nFROM hr.salaries\nWHERE amount > 100000 AND name NOT LIKE 'x' AND country IN ('DE', 'FR') ORDER BY amount",
        columns(name="STRING", amount="INTEGER"),
        [("Zoë", 120000), ("Ann", 130000)],
        id="job_read",
        referenced_tables=tables,
    )
    denied = {"state": "DENIED", "decision": "deny", "rule": "read_only", "message": "Analysts do not write."}
    builder.job(session, "DROP TABLE hr.salaries", at=NOON + seconds(86400), id=None, statement_type=None, **denied)
    return recording


def test_people_see_newest_first_who_asked_how_it_ended_and_where_the_words_stand(told):
    lines = told.run("search", "HR.salaries").stdout.splitlines()
    assert lines[0] == "Monday, 2026-11-23"
    assert lines[1].split()[:3] == ["12:00:00", "alice@acme.test", "DENIED"]
    assert lines[1].split()[-2:] == ["#2", "nightly"]
    assert lines[2].strip() == "DROP TABLE hr.salaries"
    assert lines[3].strip() == "read_only: Analysts do not write."
    assert lines[4] == "Sunday, 2026-11-22"
    assert lines[6].strip().startswith("SELECT name, amount FROM hr.salaries WHERE amount")
    assert lines[7].strip() == "tables acme.hr.salaries"


def test_the_place_where_the_words_stand_is_shown_of_a_long_statement(told):
    [*_, line] = told.run("search", "in ('de'", "--type", "select").stdout.splitlines()
    assert line.strip().startswith("…")
    assert "IN ('DE', 'FR') ORDER BY amount" in line


def test_programs_get_hits_and_the_next_page(told):
    first = json.loads(told.run("search", "salaries", "--limit", "1", "--json").stdout)
    second = json.loads(told.run("search", "salaries", "--json", "--before", first["next"]).stdout)
    [denied], [read] = first["hits"], second["hits"]
    assert denied["matched"] == ["statement"]
    assert (denied["kind"], denied["at"], denied["job"]["number"]) == ("job", "2026-11-23T12:00:00.000000Z", 2)
    assert denied["session"] == {"id": read["session"]["id"], "name": "nightly", "connection": "acme"}
    assert denied["principal"]["email"] == "alice@acme.test"
    assert denied["job"]["verdict"]["rule"] == "read_only"
    assert (denied["flow"], denied["event"], denied["rows"]) == (None, None, None)
    assert (read["job"]["id"], read["matched"], second["next"]) == ("job_read", ["statement", "table"], None)


def test_rows_are_looked_into_when_asked(told):
    told.run("search", "zoë", expect=1)
    found = json.loads(told.run("search", "zoë", "--rows", "--json").stdout)
    assert found["hits"][0]["rows"] == {"count": 1, "columns": ["name"], "samples": [{"name": "Zoë", "amount": 120000}]}
    output = told.run("search", "zoë", "--rows").stdout
    assert "in 1 row, in name:" in output
    assert "name Zoë  amount 120000" in output


@pytest.mark.parametrize(
    ("arguments", "hits"),
    [
        (["--verdict", "deny"], 1),
        (["--since", "2026-11-23"], 1),
        (["--until", "2026-11-22"], 1),
        (["--principal", "alice", "--connection", "acme", "--table", "salaries", "--min-bytes", "1kB"], 1),
        ([], 2),
        (["--limit", "0"], 2),
        (["--limit", "1"], 1),
        (["", "--type", "select"], 1),
    ],
)
def test_filters_search_without_text_too(told, arguments, hits):
    assert len(json.loads(told.run("search", *arguments, "--json").stdout)["hits"]) == hits


@pytest.mark.parametrize(
    "arguments", [["nothing like it"], ["--verdict", "review"], ["zoë", "--rows", "--type", "load"]]
)
def test_nothing_found_is_exit_1(told, arguments):
    assert told.run("search", *arguments, expect=1).stdout == ""
    assert json.loads(told.run("search", *arguments, "--json", expect=1).stdout) == {"hits": [], "next": None}


def test_an_empty_archive_holds_nothing(recording):
    assert recording.run("search", "x", expect=1).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows"], "--rows needs TEXT"),
        (["x", "--since", "tomorrow"], "is no time"),
        (["x", "--min-bytes", "many"], "is no size"),
        (["x", "--verdict", "maybe"], "'maybe' is not one of"),
    ],
)
def test_a_wrong_command_line_is_exit_2_with_the_reason(told, arguments, words):
    result = told.run("search", *arguments, expect=2)
    assert (result.stdout, words in result.stderr) == ("", True)


def test_a_place_that_is_none_is_said(told):
    assert "is no place in a search" in told.run("search", "x", "--before", "yesterday", expect=2).stderr


def test_nothing_recorded_steers_the_terminal_and_brackets_are_no_markup(recording):
    evil = "\x1b]0;owned\x07\x9b2J\u202e[red]"
    builder = recording.builder
    session = builder.session(evil, email=evil, agent=evil, connection=evil)
    given = {"error": evil, "id": f"job_{evil}", "labels": {"a": evil}, "referenced_tables": [table_ref(f"a.b.{evil}")]}
    builder.asked(session, f"SELECT '{evil}'", columns(**{evil: "STRING"}), [(evil,)], **given)
    builder.event(session, f"{evil}.refused", evil)
    builder.flow(session, door=None, url=f"https://x/{evil}", error=evil, state="failed", decision="deny", message=evil)
    for arguments in (["owned"], ["owned", "--rows"], ["[RED]", "--rows"], [], ["owned", "--json", "--rows"]):
        result = recording.run("search", *arguments)
        assert not set(result.output) & set("\x1b\x07\x9b\u202e"), arguments
        assert "[red]" in result.stdout
