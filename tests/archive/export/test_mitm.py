"""The flow file, read by mitmproxy itself."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mitmproxy.io import FlowReader

from tests.archive.eventful import BINARY, EVIL, NAME, WRITER
from tests.archive.test_recorded import ROWS
from tests.archive.test_results_storage import answers


@pytest.fixture
def flows(exported):
    def of(door=None, name=NAME):
        read = FlowReader(io.BytesIO(exported(name, "mitm"))).stream()
        return [flow for flow in read if door in (None, flow.metadata["hoop_door"])]

    return of


def test_mitmdump_opens_it(exported, tmp_path):
    (tmp_path / "session.mitm").write_bytes(exported(NAME, "mitm"))
    program = Path(sys.executable).with_name("mitmdump")
    command = [program, "-n", "-r", "session.mitm", "--set", f"confdir={tmp_path}", "--flow-detail", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("https://bigquery") >= 13
    assert "SELECT id, tag FROM shop.orders" in done.stdout
    assert "403 Forbidden" in done.stdout


def test_each_exchange_is_a_flow_with_its_times_and_addresses(flows):
    found = flows()
    assert len(found) == 15
    assert [flow.timestamp_created for flow in found] == sorted(flow.timestamp_created for flow in found)
    first = found[0]
    assert first.request.pretty_url == "https://bigquery.googleapis.com/bigquery/v2/projects/acme/queries"
    assert (first.request.http_version, first.request.authority) == ("HTTP/2.0", "bigquery.googleapis.com")
    assert first.client_conn.peername[0] == "127.0.0.1"
    assert first.metadata["hoop_principal"] == "alice@acme.example"
    assert first.metadata["hoop_job"] == "job_evil"


def test_a_compressed_answer_is_what_its_headers_say(flows):
    answer = flows()[0].response
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.raw_content[:2] == b"\x1f\x8b"
    assert json.loads(answer.content)["rows"][0]["f"][1]["v"] == EVIL


def test_bodies_are_byte_for_byte(flows):
    upload = next(flow for flow in flows("jobs.insert") if not flow.metadata["hoop_job"])
    assert (upload.request.content, upload.response.content) == (BINARY, BINARY)
    [stream] = flows("storage.ReadRows")
    assert stream.response.content == answers(ROWS)
    assert stream.response.trailers["grpc-status"] == "0"


def test_a_denial_is_marked_and_says_why(flows):
    marked = {flow.metadata["hoop_rule"]: flow.comment for flow in flows() if flow.marked}
    assert marked["read_only"].endswith(f"deny (read_only): {WRITER}")
    assert set(marked) == {"read_only", "door.unknown"}


def test_what_was_never_answered_has_an_error_and_no_answer(flows):
    states = {flow.metadata["hoop_state"]: flow for flow in flows()}
    assert (states["failed"].response, states["failed"].error.msg) == (None, f"The connection broke. {EVIL}")
    assert states["open"].response is None
    assert states["open"].error.msg.startswith("The gateway ended before the answer came")
    assert states["complete"].error is None


def test_a_body_that_was_not_recorded_is_missing_not_empty(flows):
    [thin] = [flow for flow in flows() if flow.metadata["hoop_level"] == "metadata"]
    assert (thin.request.raw_content, thin.response.raw_content) == (None, None)


def test_an_empty_session_is_an_empty_file(exported):
    assert exported("empty", "mitm") == b""


def test_nothing_of_mitmproxy_is_loaded_before_it_is_needed():
    code = "import sys, hoop_mitm.archive.export.har, hoop_mitm.archive.export.mitm; print([name for name in sys.modules if name.startswith('mitmproxy')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
