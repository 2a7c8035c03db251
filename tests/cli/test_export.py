import io
import json
import stat

import pytest
from mitmproxy.io import FlowReader

from hoop_mitm.archive.export import FORMATS
from hoop_mitm.cli import export as command
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
