"""A session in which everything happens, and one in which nothing does, written by a real recorder.

What clients wrote is hostile: it wants to be a script on a page, a sequence on a terminal, or the end of a string.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path

from hoop_mitm.bigquery.operation import Door, TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.verdict import Verdict
from tests.archive.test_recorded import Recorded, inserted_and_paged, reference, streamed
from tests.recording.building import ALICE, BASE, LIST_ROWS, QUERY, event, flow, intent, message, session

EVIL = "</script><script>alert(1)</script>\x1b]0;owned\x07\x9b2J\u202e'\"--><img src=x onerror=alert(2)>&amp;"
NAME = f"eventful {EVIL}"
EVIL_SQL = f"SELECT '{EVIL}' AS \"<b>\" -- {EVIL}\nFROM shop.orders"
FIELDS = [
    {"name": "<i>id</i>", "type": "INTEGER"},
    {"name": "word", "type": "STRING"},
    {"name": "raw", "type": "BYTES"},
]
ROWS = [
    {"f": [{"v": "1"}, {"v": EVIL}, {"v": "AAEC/w=="}]},
    {"f": [{"v": "2"}, {"v": None}, {"v": None}]},
]
BINARY = b"\x00\x01\xfe\xffPK\x03\x04"
UPLOAD = Door("jobs.insert", "write", body="multipart")
WRITER = "Analysts do not write, <b>ever</b>."


def eventful(directory: Path) -> Path:
    """The archive: sessions ``eventful``, ``empty`` and ``another``."""
    recorded = Recorded(directory)
    try:
        alice = session(name=NAME, agent=EVIL, principal=replace(ALICE, groups=(EVIL, "analysts")))
        empty = session(name="empty")
        other = session(name="another", principal=Principal("https://issuer.example", "bob"))
        recorded.write(empty, other, _answered(other, "job_other", "SELECT 1"))
        looked = event("archive.read", details={"user": "carol", "command": "search"})
        recorded.write(looked, event("archive.search", details={"read": looked.id, "about": EVIL}))
        for records in _everything(alice):
            recorded.write(alice, *records)
    finally:
        recorded.stop()
    return recorded.path


def _everything(alice):
    yield [_answered(alice, "job_evil", EVIL_SQL)]
    yield inserted_and_paged(alice)
    yield streamed(alice)
    denied = {"state": "refused", "status": 403, "verdict": Verdict("deny", "read_only", WRITER)}
    yield [
        flow(
            QUERY,
            {"query": "DROP TABLE shop.orders"},
            {"error": {}},
            session=alice,
            statement="DROP TABLE shop.orders",
            **denied,
        )
    ]
    error = {"error": {"code": 400, "message": f"Syntax error: {EVIL}", "errors": [{"reason": "invalidQuery"}]}}
    yield [flow(QUERY, {"query": "SELEC"}, error, session=alice, statement="SELEC", status=400)]
    page = {"rows": [{"f": [{"v": "9"}]}], "totalRows": "1"}
    table = (TableRef("acme", "hr", f"t{EVIL}"),)
    yield [
        flow(
            LIST_ROWS,
            None,
            page,
            session=alice,
            method="GET",
            url=f"{BASE}/datasets/hr/tables/t/data?a=1&b={EVIL}",
            tables=table,
        )
    ]
    yield [flow(UPLOAD, BINARY, BINARY, session=alice, url=f"{BASE}/jobs?uploadType=multipart")]
    yield [
        flow(
            QUERY,
            {"query": "SELECT 2"},
            None,
            session=alice,
            statement="SELECT 2",
            state="failed",
            status=None,
            error=f"The connection broke. {EVIL}",
        )
    ]
    yield [flow(QUERY, {"query": "SELECT 3"}, {"a": 1}, session=alice, statement="SELECT 3", level="metadata")]
    yield [
        flow(
            None,
            None,
            {},
            session=alice,
            state="refused",
            status=403,
            url="not a url at all",
            verdict=Verdict("deny", "door.unknown", EVIL),
        )
    ]
    yield [event("request.refused", session_id=alice.id, message=EVIL, details={"rule": EVIL})]
    yield [intent(QUERY, {"query": "DELETE FROM t WHERE true"}, session=alice, statement="DELETE FROM t WHERE true")]


def _answered(who, job, statement):
    """A query whose answer came compressed, over HTTP/2."""
    answer = reference(job) | {"jobComplete": True, "schema": {"fields": FIELDS}, "totalRows": "2", "rows": ROWS}
    answer |= {"totalBytesProcessed": "1048576"}
    record = flow(QUERY, {"query": statement}, None, session=who, statement=statement, http_version="HTTP/2.0")
    headers = (("content-type", "application/json; charset=UTF-8"), ("content-encoding", "gzip"), ("x-evil", EVIL))
    request = replace(record.request, headers=(("content-type", "application/json"), ("cookie", "a=b")))
    body = gzip.compress(json.dumps(answer).encode())
    return replace(record, request=request, response=message(body, *headers))
