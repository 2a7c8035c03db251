import io
import json
import os
import re
import stat

import duckdb
import pytest
from click.testing import CliRunner
from mitmproxy.io import FlowReader

from hoop_mitm.archive.export import FORMATS
from hoop_mitm.cli import export as command
from hoop_mitm.cli import main
from tests.archive.building import NOON, columns, seconds

BEGINS = {"har": b'{"log": {"version": "1.2"', "mitm": b"", "html": b"<!doctype html>", "ocsf": b'{"category_uid": 6'}


@pytest.fixture
def told(recording):
    session = recording.builder.session("nightly")
    recording.builder.asked(session, "SELECT name FROM t", columns(name="STRING"), [(f"n{i}",) for i in range(300)])
    recording.builder.session("quiet", at=NOON + seconds(1))
    return recording


def test_the_command_offers_what_the_library_writes():
    assert tuple(FORMATS) == command._FORMATS
    assert set(command._NEXT) == {*FORMATS, "bundle"}


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_is_written_for_its_owner_only(told, tmp_path, to):
    result = told.run("export", "nightly", "--format", to, "-o", str(tmp_path / "out"))
    assert result.stdout == ""
    assert (tmp_path / "out").read_bytes().startswith(BEGINS[to])
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


@pytest.mark.parametrize("to", ["har", "mitm", "ocsf"])
def test_without_a_file_the_same_bytes_go_to_standard_output(told, tmp_path, to):
    told.run("export", "nightly", "--format", to, "-o", str(tmp_path / "out"))
    printed = told.run("export", "nightly", "--format", to).stdout_bytes
    assert printed == (tmp_path / "out").read_bytes()


def test_what_was_asked_is_in_each(told):
    har = json.loads(told.run("export", "@last~1", "--format", "har").stdout)
    assert json.loads(har["log"]["entries"][0]["request"]["postData"]["text"])["query"] == "SELECT name FROM t"
    [flow] = FlowReader(io.BytesIO(told.run("export", "nightly", "--format", "mitm").stdout_bytes)).stream()
    assert json.loads(flow.request.content)["query"] == "SELECT name FROM t"
    [event] = map(json.loads, told.run("export", "nightly", "--format", "ocsf").stdout.splitlines())
    assert event["query_info"]["query_string"] == "SELECT name FROM t"


@pytest.mark.parametrize(("arguments", "rows"), [([], 200), (["--max-rows", "10"], 10), (["--max-rows", "0"], 300)])
def test_a_page_shows_as_many_rows_as_asked_for(told, arguments, rows):
    page = told.run("export", "nightly", "--format", "html", *arguments).stdout
    assert page.count("<td>n") == rows


@pytest.mark.parametrize("to", FORMATS)
def test_a_session_in_which_nothing_happened_can_be_exported(told, to):
    told.run("export", "quiet", "--format", to)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["nightly"], 2, "Give --format, or --bundle"),
        (["nightly", "--format", "pdf"], 2, "'pdf' is not one of"),
        (["unknown", "--format", "har"], 2, "No session in"),
        (["nightly", "--format", "har", "-o", "/nowhere/at/all"], 3, "cannot be written"),
        (["nightly", "--format", "har", "--db", "/nowhere"], 3, "There is no recording"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(told, arguments, exit_code, words):
    result = told.run("export", *arguments, expect=exit_code)
    assert (result.stdout, words in result.stderr) == ("", True)


def test_a_failed_export_leaves_the_file_that_was_there(told, tmp_path):
    (tmp_path / "out").write_text("before")
    told.run("export", "unknown", "--format", "har", "-o", str(tmp_path / "out"), expect=2)
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]
    assert (tmp_path / "out").read_text() == "before"


def test_a_flow_file_is_not_printed_on_a_terminal(told, monkeypatch):
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _self: True, raising=False)
    assert "Name a file with -o" in told.run("export", "nightly", "--format", "mitm", expect=2).stderr


def symbolic_link(path):
    path.with_name("link").symlink_to(path)
    return path.with_name("link")


def hard_link(path):
    path.with_name("other name").hardlink_to(path)
    return path.with_name("other name")


def log_beside_a_link(path):
    return symbolic_link(path).with_name("link.wal")


def linked_journal(path):
    path.with_name("elsewhere").symlink_to(path.with_name("journal"))
    return path.with_name("elsewhere") / "out"


IN_THE_WAY = {
    "itself": lambda path: path,
    "from here": os.path.relpath,
    "around": lambda path: f"{path.parent}/journal/../{path.name}",
    "symbolic link": symbolic_link,
    "hard link": hard_link,
    "its directory": lambda path: path.parent,
    "its log": lambda path: f"{path}.wal",
    "journal": lambda path: path.with_name("journal") / "0000000000000001.sqlite",
    "deep in the journal": lambda path: path.with_name("journal") / "bodies" / "out",
    "journal by a link": linked_journal,
}


@pytest.mark.parametrize("to", [["--bundle"], ["--format", "html"], ["--format", "mitm"]])
@pytest.mark.parametrize("in_the_way", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_is_read_is_not_written_over(told, in_the_way, to):
    told.builder.write()
    (told.path.with_name("journal") / "bodies").mkdir(parents=True)
    (told.path.with_name("journal") / "0000000000000001.sqlite").write_text("before")
    output = str(in_the_way(told.path))
    before = {path: path.read_bytes() for path in told.path.parent.rglob("*") if path.is_file()}
    result = told.run("export", "nightly", *to, "-o", output, expect=2)
    assert re.search("(is|of) the recording that is read|is a directory", result.stderr)
    assert {path: path.read_bytes() for path in told.path.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("named", ["the link", "the directory", "the file"])
@pytest.mark.parametrize("output", ["hoop.duckdb", "hoop.duckdb.wal", "journal/out"])
def test_what_is_read_is_not_written_over_however_it_is_named(told, tmp_path, named, output):
    told.builder.write()
    (tmp_path / "journal").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "case.duckdb").symlink_to(told.path)
    db = {"the link": tmp_path / "links" / "case.duckdb", "the directory": tmp_path, "the file": told.path}[named]
    before = told.path.read_bytes()
    told.run("export", "nightly", "--bundle", "--db", str(db), "-o", str(tmp_path / output), expect=2)
    assert told.path.read_bytes() == before
    assert not (tmp_path / "hoop.duckdb.wal").exists()
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_recording_that_is_to_be_made_of_its_journal_is_not_written_over(tmp_path):
    (tmp_path / "journal").mkdir()
    for output in ("hoop.duckdb", "hoop.duckdb.wal"):
        arguments = ["export", "@last", "--bundle", "--db", str(tmp_path), "-o", str(tmp_path / output)]
        assert CliRunner().invoke(main, arguments).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_beside_what_is_read_there_is_room(told, tmp_path):
    told.run("export", "nightly", "--bundle", "-o", str(tmp_path / "nightly.duckdb"))
    told.run("export", "nightly", "--bundle", "-o", str(tmp_path / "nightly.duckdb"))
    assert (tmp_path / "nightly.duckdb").exists()


@pytest.mark.parametrize(
    "value", ["[no JSON", "7", '[{"a": 1}]', "[" * 100_000], ids=["cut", "a number", "objects", "deep"]
)
def test_a_cell_that_is_no_json_ends_no_command(told, value):
    told.builder.write()
    with duckdb.connect(told.path) as connection:
        connection.execute("UPDATE flows SET request_headers = $value, response_headers = $value", {"value": value})
        connection.execute("UPDATE sessions SET process = $value", {"value": value})
    for arguments in (["show", "@last", "--json"], ["show", "@last"], ["sessions"], ["search", "SELECT"]):
        told.run(*arguments)
    for to in FORMATS:
        told.run("export", "@last", "--format", to)


def test_details_that_are_no_json_are_shown_as_they_are(told):
    session = told.builder.session("changed", at=NOON + seconds(2))
    told.builder.event(session, "request.refused", "It was refused.", at=NOON + seconds(2), details="{no JSON <b>")
    for to in FORMATS:
        told.run("export", "changed", "--format", to)
    events = [json.loads(line) for line in told.run("export", "changed", "--format", "ocsf").stdout.splitlines()]
    assert {"text": "{no JSON <b>"} in [event["unmapped"].get("details") for event in events]
    assert "It was refused." in told.run("show", "changed").stdout
    assert json.loads(told.run("show", "changed", "--json").stdout)["events"][0]["details"] == {"text": "{no JSON <b>"}
