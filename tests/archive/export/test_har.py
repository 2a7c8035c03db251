import base64
import json

import jsonschema
import pytest

from hoop_mitm.archive.export import har
from tests.archive.eventful import BINARY, EVIL, NAME, WRITER
from tests.archive.har_schema import HAR
from tests.archive.test_recorded import ROWS
from tests.archive.test_results_storage import answers


@pytest.fixture
def entries(exported):
    """The exchanges of the session in which everything happens, by what they were for."""

    def by(**facts):
        log = json.loads(exported(NAME, "har"))["log"]
        return [each for each in log["entries"] if all(each["_hoop"][name] == value for name, value in facts.items())]

    return by


@pytest.mark.parametrize("name", [NAME, "empty", "another"])
def test_it_is_an_http_archive_by_its_schema(exported, name):
    found = json.loads(exported(name, "har"))
    jsonschema.validate(found, HAR, format_checker=jsonschema.FormatChecker())
    assert len(found["log"]["entries"]) == {NAME: 15, "empty": 0, "another": 1}[name]


def test_the_schema_of_this_test_is_strict():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"log": {"version": "1.2", "creator": {"name": "x", "version": "1"}, "entries": [{}]}}, HAR)


def test_exchanges_stand_in_the_order_of_their_times(exported):
    times = [each["startedDateTime"] for each in json.loads(exported(NAME, "har"))["log"]["entries"]]
    assert times == sorted(times)


def test_a_compressed_answer_is_readable_and_its_headers_are_the_wires(entries):
    [entry] = entries(job="job_evil")
    content = entry["response"]["content"]
    assert json.loads(content["text"])["rows"][0]["f"][1]["v"] == EVIL
    assert "encoding" not in content
    assert {"name": "content-encoding", "value": "gzip"} in entry["response"]["headers"]
    assert {"name": "x-evil", "value": EVIL} in entry["response"]["headers"]
    assert content["size"] == len(content["text"].encode()) == entry["response"]["bodySize"] + content["compression"]
    assert json.loads(entry["request"]["postData"]["text"])["query"].startswith("SELECT '")
    assert (entry["response"]["status"], entry["response"]["statusText"], entry["request"]["httpVersion"]) == (
        200,
        "OK",
        "HTTP/2.0",
    )


def test_binary_bodies_are_whole_in_base64(entries):
    [upload] = entries(door="jobs.insert", job=None)
    assert base64.b64decode(upload["response"]["content"]["text"]) == BINARY
    assert upload["response"]["content"]["encoding"] == "base64"
    assert base64.b64decode(upload["request"]["postData"]["text"]) == BINARY
    assert upload["request"]["postData"]["_encoding"] == "base64"
    [stream] = entries(door="storage.ReadRows")
    assert base64.b64decode(stream["response"]["content"]["text"]) == answers(ROWS)
    assert stream["_hoop"]["grpc_status"] == 0


def test_a_denial_says_so_and_by_which_rule(entries):
    [denied] = entries(rule="read_only")
    assert denied["response"]["status"] == 403
    assert denied["comment"] == f"jobs.query, job #{denied['_hoop']['job_number']}, deny (read_only): {WRITER}"


def test_what_was_never_answered_is_an_error_as_in_a_browser(entries):
    [failed], [unknown] = entries(state="failed"), entries(state="open")
    assert failed["response"]["status"] == unknown["response"]["status"] == 0
    assert failed["response"]["_error"] == f"The connection broke. {EVIL}"
    assert unknown["response"]["_error"].startswith("The gateway ended before the answer came")


def test_what_was_not_recorded_is_said_to_be_missing(entries):
    [thin] = entries(level="metadata")
    assert thin["request"]["comment"] == "The body was not recorded (level metadata)."
    assert "postData" not in thin["request"]
    assert thin["response"]["content"]["comment"] == "The body was not recorded (level metadata)."


def test_a_url_is_split_and_holds_nothing_that_no_url_holds(entries):
    [listed] = entries(door="tabledata.list")
    assert listed["request"]["queryString"][0] == {"name": "a", "value": "1"}
    assert "<" not in listed["request"]["url"]
    [odd] = entries(rule="door.unknown")
    assert odd["request"]["url"] == "https://bigquery.googleapis.com/not%20a%20url%20at%20all"


def test_a_body_too_large_for_a_browser_is_left_out_and_named(entries, monkeypatch):
    monkeypatch.setattr(har, "LARGEST", 10)
    [entry] = entries(job="job_evil")
    assert "text" not in entry["response"]["content"]
    assert "postData" not in entry["request"]
    assert entry["_hoop"]["flow"] in entry["response"]["content"]["comment"]


def test_the_file_is_plain_ascii_so_no_terminal_is_steered(exported):
    assert set(exported(NAME, "har")) <= {10, *range(32, 127)}
