"""A job is one row, whatever flows touch it and however many folds they are spread over."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.archive.verify import verify
from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.joining import portions
from hoop_mitm.recording.records import FlowRecord
from hoop_mitm.recording.retention.rejoining import join_jobs
from hoop_mitm.recording.unfolded import Row
from tests.recording.building import (
    BASE,
    CREATE_READ_SESSION,
    GET,
    INSERT,
    LIST_ROWS,
    QUERY,
    READ_ROWS,
    RESULTS,
    SESSION,
    ask,
    ask_one,
    flow,
    intent,
    message,
    session,
)
from tests.recording.folding import Gateway

STATEMENT = "SELECT name FROM shop.customers WHERE id = 7"
REFERENCE = {"projectId": "acme", "jobId": "job1", "location": "EU"}
ANONYMOUS = {"projectId": "acme", "datasetId": "_0e32aaaaaaaaaaaaaaaaaaaaaaaa", "tableId": "anon5f"}
SCHEMA = {"fields": [{"name": "name", "type": "STRING", "mode": "NULLABLE"}]}


def insert(**changes: Any) -> FlowRecord:
    """`POST jobs`, as Python's `query` does it: the answer knows nearly nothing yet."""
    body = {"jobReference": {"projectId": "acme", "jobId": "job1"}, "configuration": {"query": {"query": STATEMENT}}}
    configuration = {"query": {"query": STATEMENT, "destinationTable": ANONYMOUS}, "labels": {"hoop-session": "s"}}
    answer = {"jobReference": REFERENCE, "configuration": configuration, "status": {"state": "RUNNING"}}
    return flow(INSERT, body, answer, url=f"{BASE}/jobs", statement=STATEMENT, **changes)


def results(**answer: Any) -> FlowRecord:
    return flow(RESULTS, None, answer, url=f"{BASE}/queries/job1?location=EU", method="GET")


def poll_complete() -> FlowRecord:
    return results(jobComplete=True, jobReference=REFERENCE, schema=SCHEMA, totalRows="2", totalBytesProcessed="2048")


def poll_running() -> FlowRecord:
    return results(jobComplete=False, jobReference=REFERENCE)


def page() -> FlowRecord:
    """With `fields=`, rows come without anything else."""
    return results(jobReference=REFERENCE, rows=[{"f": [{"v": "a"}]}], totalRows="2")


def got() -> FlowRecord:
    statistics = {
        "query": {
            "referencedTables": [{"projectId": "acme", "datasetId": "shop", "tableId": "customers_raw"}],
            "totalBytesBilled": "10485760",
            "statementType": "SELECT",
            "cacheHit": False,
        },
        "totalSlotMs": "12",
        "endTime": "1795357523000",
    }
    answer = {"jobReference": REFERENCE, "status": {"state": "DONE"}, "statistics": statistics}
    return flow(GET, None, answer, url=f"{BASE}/jobs/job1?location=EU", method="GET")


def story() -> list[FlowRecord]:
    return [insert(), poll_running(), poll_complete(), page(), got()]


def batches(flows: Sequence[FlowRecord], size: int) -> list[Sequence[FlowRecord]]:
    return [flows[start : start + size] for start in range(0, len(flows), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_insert_polls_and_pages_are_one_job_however_they_are_folded(gateway: Gateway, size: int) -> None:
    flows = story()
    for portion in batches(flows, size):
        gateway.fold(*portion)

    job = ask_one(gateway.layout.directory, "SELECT * FROM jobs")

    expected = {
        "key": "acme:job1",
        "id": "job1",
        "project": "acme",
        "location": "EU",
        "statement": STATEMENT,
        "statement_type": "SELECT",
        "job_type": "QUERY",
        "referenced_tables": [{"project": "acme", "dataset": "shop", "table": "customers_raw"}],
        "tables_from": "bigquery",
        "destination": {"project": "acme", "dataset": ANONYMOUS["datasetId"], "table": "anon5f"},
        "labels": [("hoop-session", "s")],
        "dry_run": False,
        "state": "DONE",
        "error": None,
        "decision": "allow",
        "bytes_processed": 2048,
        "bytes_billed": 10485760,
        "cache_hit": False,
        "slot_ms": 12,
        "row_count": 2,
        "started_at": flows[0].started_at,
    }
    assert {name: job[name] for name in expected} == expected
    assert '"name"' in job["schema"]
    assert job["ended_at"].timestamp() == 1795357523
    assert ask(gateway.layout.directory, "SELECT DISTINCT job_key FROM flows") == [("acme:job1",)]


def test_where_bigquery_was_not_asked_the_statement_says_what_was_read(gateway: Gateway) -> None:
    gateway.fold(insert())
    gateway.fold(poll_complete())
    job = ask_one(gateway.layout.directory, "SELECT referenced_tables, tables_from FROM jobs")
    assert job == {
        "referenced_tables": [{"project": "acme", "dataset": "shop", "table": "customers"}],
        "tables_from": "statement",
    }


def test_bare_names_are_in_the_default_dataset_of_the_request(gateway: Gateway) -> None:
    request = {"query": "SELECT * FROM orders", "defaultDataset": {"datasetId": "shop"}}
    gateway.fold(flow(QUERY, request, {"jobComplete": True, "jobReference": REFERENCE}, statement=request["query"]))
    [(tables,)] = ask(gateway.layout.directory, "SELECT referenced_tables FROM jobs")
    assert tables == [{"project": "acme", "dataset": "shop", "table": "orders"}]


def test_an_intent_that_was_visible_already_leaves_no_second_row(gateway: Gateway) -> None:
    before = intent(QUERY, {"query": STATEMENT}, statement=STATEMENT)
    gateway.write(before)
    gateway.hold.release()
    gateway.fold()
    assert ask(gateway.layout.directory, "SELECT key, id, state FROM jobs") == [(before.id, None, "UNKNOWN")]
    answer = {"jobComplete": True, "jobReference": REFERENCE}
    gateway.fold(replace(flow(QUERY, {"query": STATEMENT}, answer, statement=STATEMENT), id=before.id))
    assert ask(gateway.layout.directory, "SELECT key, id, state FROM jobs") == [("acme:job1", "job1", "DONE")]


def test_a_denied_statement_is_a_job_without_an_id(gateway: Gateway) -> None:
    denied = flow(
        INSERT,
        {"jobReference": REFERENCE, "configuration": {"query": {"query": STATEMENT}}},
        {"error": {"code": 403, "message": "Analysts may not."}},
        url=f"{BASE}/jobs",
        statement=STATEMENT,
        state="refused",
        status=403,
        verdict=Verdict("deny", "read-only", "Analysts may not."),
    )
    gateway.fold(denied)
    job = ask_one(gateway.layout.directory, "SELECT key, id, state, statement, decision, rule, message FROM jobs")
    assert job == {
        "key": denied.id,
        "id": None,
        "state": "DENIED",
        "statement": STATEMENT,
        "decision": "deny",
        "rule": "read-only",
        "message": "Analysts may not.",
    }


def test_a_denied_poll_is_no_job_and_changes_none(gateway: Gateway) -> None:
    gateway.fold(insert())
    foreign = {
        "state": "refused",
        "status": 403,
        "verdict": Verdict("deny", "ownership", "Not yours."),
        "session": session(),
    }
    gateway.fold(replace(results(), **foreign))
    assert ask(gateway.layout.directory, "SELECT key, decision, error FROM jobs") == [("acme:job1", "allow", None)]


def test_a_refusal_without_an_identity_is_no_job(gateway: Gateway) -> None:
    gateway.fold(
        replace(insert(), session=None, state="refused", status=403, verdict=Verdict("deny", "identity", "Who?"))
    )
    assert ask(gateway.layout.directory, "SELECT count(*) FROM jobs") == [(0,)]
    assert ask(gateway.layout.directory, "SELECT state, job_key FROM flows") == [("refused", None)]


def test_a_dry_run_is_a_row_of_its_own_that_costs_nothing(gateway: Gateway) -> None:
    request = {"configuration": {"dryRun": True, "query": {"query": STATEMENT}}}
    answer = {
        "jobReference": {"projectId": "acme", "location": "EU"},
        "configuration": request["configuration"],
        "status": {"state": "DONE"},
        "statistics": {"query": {"totalBytesProcessed": "123", "statementType": "SELECT"}},
    }
    dry = flow(INSERT, request, answer, url=f"{BASE}/jobs", statement=STATEMENT)
    gateway.fold(dry)
    job = ask_one(gateway.layout.directory, "SELECT key, id, dry_run, bytes_processed FROM jobs")
    assert job == {"key": dry.id, "id": None, "dry_run": True, "bytes_processed": 123}
    assert ask(gateway.layout.directory, "FROM cost_by_day") == []


def test_a_statement_that_bigquery_refuses_failed_with_bigquerys_words(gateway: Gateway) -> None:
    answer = {
        "error": {"code": 400, "message": "Syntax error: Unexpected identifier", "errors": [{"reason": "invalidQuery"}]}
    }
    bad = flow(QUERY, {"query": "SELEC"}, answer, statement="SELEC", status=400)
    gateway.fold(bad)
    job = ask_one(gateway.layout.directory, "SELECT key, state, error FROM jobs")
    assert job == {"key": bad.id, "state": "FAILED", "error": "Syntax error: Unexpected identifier"}


def test_a_statement_without_an_answer_is_unknown_and_says_why(gateway: Gateway) -> None:
    gateway.fold(
        flow(
            QUERY,
            {"query": STATEMENT},
            None,
            statement=STATEMENT,
            state="failed",
            status=502,
            error="Connection reset.",
        )
    )
    job = ask_one(gateway.layout.directory, "SELECT state, error, statement FROM jobs")
    assert job == {"state": "UNKNOWN", "error": "Connection reset.", "statement": STATEMENT}


def test_the_same_id_in_two_locations_is_two_jobs(gateway: Gateway) -> None:
    def query(location: str) -> FlowRecord:
        reference = REFERENCE | {"location": location}
        return flow(QUERY, {"query": STATEMENT}, {"jobComplete": True, "jobReference": reference}, statement=STATEMENT)

    gateway.fold(query("EU"), query("US"))
    gateway.fold(query("US"), query("EU"))
    keys = ask(gateway.layout.directory, "SELECT key, location FROM jobs ORDER BY key")
    assert keys == [("acme:US.job1", "US"), ("acme:job1", "EU")]


def grpc(message: Any) -> bytes:
    payload = type(message).serialize(message)
    return b"\0" + len(payload).to_bytes(4) + payload


RESULT = TableRef("acme", ANONYMOUS["datasetId"], "anon5f")
READ_SESSION = "projects/acme/locations/eu/sessions/CAIS"


def create_read_session(table: TableRef, name: str = READ_SESSION) -> FlowRecord:
    answer = types.ReadSession(name=name, streams=[types.ReadStream(name=f"{name}/streams/GgJ")])
    return flow(CREATE_READ_SESSION, b"", grpc(answer), tables=(table,), grpc_status=0)


def read_rows(name: str = READ_SESSION) -> FlowRecord:
    return flow(READ_ROWS, b"", b"", uses=(Resource("read_stream", f"{name}/streams/GgJ"),), grpc_status=0)


@pytest.mark.parametrize("size", [1, 3])
def test_storage_reads_of_a_result_belong_to_the_job_that_made_it(gateway: Gateway, size: int) -> None:
    flows = [insert(), create_read_session(RESULT), read_rows()]
    for portion in batches(flows, size):
        gateway.fold(*portion)
    assert ask(gateway.layout.directory, "SELECT DISTINCT job_key FROM flows") == [("acme:job1",)]
    found = ask_one(gateway.layout.directory, 'SELECT name, flow_id, job_key, source."table" AS t FROM read_sessions')
    assert found == {"name": READ_SESSION, "flow_id": flows[1].id, "job_key": "acme:job1", "t": "anon5f"}


def test_a_storage_read_of_an_ordinary_table_belongs_to_no_job_but_counts_as_read(gateway: Gateway) -> None:
    gateway.fold(create_read_session(TableRef("acme", "shop", "orders")), read_rows())
    assert ask(gateway.layout.directory, "SELECT DISTINCT job_key FROM flows") == [(None,)]
    reads = ask(gateway.layout.directory, 'SELECT principal, "table", reads FROM table_reads_by_day')
    assert reads == [("alice@acme.example", "orders", 1)]


def test_another_sessions_job_is_not_the_one_that_is_read(gateway: Gateway) -> None:
    gateway.fold(insert())
    gateway.fold(replace(create_read_session(RESULT), session=session()))
    assert ask(gateway.layout.directory, "SELECT job_key FROM read_sessions") == [(None,)]


def test_rows_that_are_listed_from_a_result_table_belong_to_its_job(gateway: Gateway) -> None:
    gateway.fold(insert())
    gateway.fold(flow(LIST_ROWS, None, {"rows": []}, tables=(RESULT,), method="GET"))
    assert ask(gateway.layout.directory, "SELECT DISTINCT job_key FROM flows") == [("acme:job1",)]


TABLE = {"projectId": "acme", "datasetId": "shop", "tableId": "daily"}


def write_into_table(number: int) -> FlowRecord:
    """A job whose result goes to a table that others go to as well, as dbt's do."""
    at = SESSION.started_at + timedelta(seconds=number)
    query = {"query": {"query": STATEMENT, "destinationTable": TABLE}}
    body = {"jobReference": REFERENCE | {"jobId": f"job{number}"}, "configuration": query}
    answer = body | {"status": {"state": "RUNNING"}}
    return flow(
        INSERT,
        body,
        answer,
        url=f"{BASE}/jobs",
        statement=STATEMENT,
        id=f"{number:04}",
        started_at=at,
        ended_at=at,
    )


def list_table(number: int) -> FlowRecord:
    at = SESSION.started_at + timedelta(seconds=number)
    table = TableRef("acme", "shop", "daily")
    return flow(
        LIST_ROWS,
        None,
        {"rows": []},
        tables=(table,),
        method="GET",
        id=f"{number:04}",
        started_at=at,
        ended_at=at,
    )


UNANSWERED: dict[str, Any] = {"state": "open", "ended_at": None, "status": None, "response": message()}
REFUSED: dict[str, Any] = {"status": 400, "response": message({"error": {"code": 400, "message": "No.", "errors": []}})}
WAITING: dict[str, Any] = {"state": "held", "verdict": Verdict("review", "policy.deletions", "Held.")}


@pytest.mark.parametrize("size", [1, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (2, 3)), 20])
def test_rows_belong_to_the_last_job_before_that_went_to_their_table_however_they_are_folded(
    gateway: Gateway, size: int
) -> None:
    """What is not in an earlier batch is no reason to be overlooked, and what is in the same one may come later."""
    flows = [
        list_table(10),
        write_into_table(11),
        list_table(12),
        write_into_table(13),
        list_table(14),
        # None of these has written anything.
        replace(write_into_table(15), **REFUSED),
        replace(write_into_table(16), **WAITING),
        replace(write_into_table(17), **UNANSWERED),
        list_table(18),
        flow(
            GET,
            None,
            {"jobReference": REFERENCE | {"jobId": "job11"}, "status": {"state": "DONE"}},
            url=f"{BASE}/jobs/job11?location=EU",
            method="GET",
        ),
        list_table(20),
        write_into_table(17),
        list_table(22),
    ]
    # Else what is under way is not taken over yet.
    gateway.hold.release()
    for some in batches(flows, size):
        gateway.fold(*some)
    gateway.journal.sign("close")
    gateway.fold()
    directory = gateway.layout.directory
    read = dict(ask(directory, "SELECT id, job_key FROM flows WHERE door = 'tabledata.list'"))
    assert read == {
        "0010": None,
        "0012": "acme:job11",
        "0014": "acme:job13",
        "0018": "acme:job13",
        "0020": "acme:job13",
        "0022": "acme:job17",
    }
    assert verify(directory / "hoop.duckdb").findings == ()


HELD = {"jobReference": REFERENCE, "configuration": {"query": {"query": STATEMENT}}, "status": {"state": "PENDING"}}
WAITS = Verdict("review", "policy.deletions", "Held for a review by members of reviewers: 0199.")
APPROVED = Verdict("allow", "review.approved")


def asked_and_held() -> FlowRecord:
    return replace(insert(), state="held", verdict=WAITS, response=message(HELD))


def told_to_wait() -> FlowRecord:
    return replace(got(), state="held", verdict=WAITS, response=message(HELD))


def told_that_it_is_over(how: str = "rejected") -> FlowRecord:
    over = HELD | {"status": {"state": "DONE", "errorResult": {"reason": "accessDenied", "message": f"It is {how}."}}}
    return replace(
        got(), state="held", verdict=Verdict("review", f"review.{how}", f"It is {how}."), response=message(over)
    )


def sent(**changes: Any) -> FlowRecord:
    return insert(user_agent="hoop-mitm", verdict=APPROVED, **changes)


def refused_by_bigquery(status: int = 400, words: str = "Syntax error") -> FlowRecord:
    return replace(sent(), status=status, response=message({"error": {"code": status, "message": words, "errors": []}}))


@pytest.mark.parametrize("size", [1, pytest.param(2, marks=pytest.mark.exhaustive), 10])
@pytest.mark.parametrize(
    ("flows", "expected"),
    [
        ([asked_and_held(), told_to_wait()], ("review", "policy.deletions", "PENDING", None)),
        ([asked_and_held(), sent(), got()], ("allow", "review.approved", "DONE", None)),
        # A poll that is answered while it is sent takes nothing back.
        ([asked_and_held(), sent(), told_to_wait()], ("allow", "review.approved", "RUNNING", None)),
        ([asked_and_held(), sent(state="failed", status=None)], ("allow", "review.approved", "UNKNOWN", None)),
        (
            [asked_and_held(), refused_by_bigquery(), told_that_it_is_over("executed")],
            ("allow", "review.approved", "FAILED", "Syntax error"),
        ),
        # The first try came to BigQuery after all, so its id is taken: by itself.
        (
            [asked_and_held(), sent(state="failed", status=None), refused_by_bigquery(409, "Already Exists")],
            ("allow", "review.approved", "PENDING", None),
        ),
        (
            [asked_and_held(), told_to_wait(), told_that_it_is_over()],
            ("review", "review.rejected", "DONE", "It is rejected."),
        ),
        # It was sent and did not come there; then its time was over.
        (
            [asked_and_held(), sent(state="failed", status=None), told_that_it_is_over("expired")],
            ("review", "review.expired", "DONE", "It is expired."),
        ),
    ],
    ids=["waits", "ran", "polled", "lost", "refused", "again", "rejected", "expired"],
)
def test_a_job_that_was_held_is_in_the_end_what_became_of_it(
    gateway: Gateway, flows: list[FlowRecord], expected: tuple[str | None, ...], size: int
) -> None:
    # Else what is under way is not taken over yet.
    gateway.hold.release()
    for some in batches([replace(each, id=f"{number:04}") for number, each in enumerate(flows)], size):
        gateway.fold(*some)
    assert ask(gateway.layout.directory, "SELECT decision, rule, state, error FROM jobs") == [expected]


@pytest.mark.parametrize("size", [1, 3])
def test_while_a_job_is_being_sent_it_still_waits_and_the_sending_stands_alone(gateway: Gateway, size: int) -> None:
    """What becomes of it the answer says, which takes its place then."""
    gateway.hold.release()
    sending = sent(state="open", ended_at=None, status=None)
    for some in batches([asked_and_held(), sending, told_to_wait()], size):
        gateway.fold(*some)
    question = "SELECT key, id, decision, rule, state FROM jobs ORDER BY decision DESC"
    waits = ("acme:job1", "job1", "review", "policy.deletions", "PENDING")
    assert ask(gateway.layout.directory, question) == [
        waits,
        (sending.id, "job1", "allow", "review.approved", "UNKNOWN"),
    ]
    gateway.fold(replace(sent(), id=sending.id))
    assert ask(gateway.layout.directory, question) == [("acme:job1", "job1", "allow", "review.approved", "RUNNING")]


def with_text(text: str, **changes: Any) -> FlowRecord:
    """A job with the one id, and any text."""
    body = {"jobReference": REFERENCE, "configuration": {"query": {"query": text}}}
    answer = body | {"status": {"state": "RUNNING"}}
    return replace(flow(INSERT, body, answer, url=f"{BASE}/jobs", statement=text), **changes)


DELETE, HARMLESS = "DELETE FROM shop.customers WHERE true", "SELECT 1"
TAKEN = {"error": {"code": 409, "message": "Already Exists: Job acme:EU.job1", "errors": []}}
DISGUISES = {
    "afterwards": [with_text(DELETE), with_text(HARMLESS, status=409, response=message(TAKEN))],
    "when-it-was-done": [with_text(DELETE), got(), with_text(HARMLESS, status=409, response=message(TAKEN))],
    "beforehand": [with_text(HARMLESS, status=400, response=message(TAKEN)), with_text(DELETE)],
    "without-an-answer": [with_text(HARMLESS, state="failed", status=None, response=message()), with_text(DELETE)],
    "never-answered": [with_text(HARMLESS, **UNANSWERED), with_text(DELETE)],
    "held": [with_text(DELETE), with_text(HARMLESS, state="held", verdict=WAITS, response=message(HELD))],
    "approved": [
        with_text(DELETE),
        with_text(HARMLESS, verdict=APPROVED, status=409, response=message(TAKEN)),
    ],
}


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("flows", DISGUISES.values(), ids=DISGUISES)
def test_what_ran_cannot_be_hidden_behind_another_statement_with_its_id(
    gateway: Gateway, flows: list[FlowRecord], size: int
) -> None:
    gateway.hold.release()
    for some in batches([replace(each, id=f"{number:04}") for number, each in enumerate(flows)], size):
        gateway.fold(*some)
    directory = gateway.layout.directory
    assert ask(directory, "SELECT statement FROM jobs WHERE key = 'acme:job1'") == [(DELETE,)]
    assert ask(directory, "SELECT statement FROM jobs WHERE key <> 'acme:job1'") == [(HARMLESS,)]


def test_an_id_that_another_session_took_is_taken(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for who verifies, and looks at sessions that have nothing to do with each other one by one."""
    held = with_text(HARMLESS, state="held", verdict=WAITS, response=message(HELD), session=session(name="bob"))
    gateway.fold(with_text(DELETE), held)
    directory = gateway.layout.directory
    rows = ask(directory, "SELECT key, statement, decision FROM jobs ORDER BY statement")
    assert rows == [("acme:job1", DELETE, "allow"), (held.id, HARMLESS, "review")]
    gateway.journal.sign("close")
    gateway.fold()
    monkeypatch.setattr("hoop_mitm.archive.verify.joined.GROUP", 1)
    assert verify(directory / "hoop.duckdb").findings == ()


def test_no_more_bodies_than_fit_are_held_at_once() -> None:
    def row(number: int, size: int) -> Row:
        sides = {"request": {"body": None}, "response": {"body": {"size": size, "hash": ""}}}
        return Row(number, "flow", dict(sides), {}, Path())

    rows = [row(number, size) for number, size in enumerate((4, 6, 1, 30, 2, 8))]
    held = [[each.seq for each in some] for some in portions(rows, lambda each: each, 10)]
    assert held == [[0, 1], [2], [3], [4, 5]]


def test_records_between_those_that_are_joined_again_are_not_held(gateway: Gateway) -> None:
    """Those of one principal whose data are erased lie among a million others."""
    filler = "-- " + "x" * 100_000
    first, last = replace(insert(), id="0"), replace(poll_complete(), id="1")
    gateway.fold(
        first, *(replace(insert(), id=f"between-{number}", executed_statement=filler) for number in range(60)), last
    )
    chain, places = ask_one(
        gateway.layout.directory, "SELECT chain, [min(seq), max(seq)] AS s FROM flows GROUP BY chain"
    ).values()
    with ArchiveFile(gateway.layout.archive) as archive:
        tracemalloc.start()
        try:
            join_jobs(archive, [(chain, seq) for seq in places])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 60 * len(filler) / 4


def test_a_job_begins_when_it_is_sent(gateway: Gateway) -> None:
    """What it costs, and reads, is of that day; and BigQuery is asked about it for that time."""
    held = asked_and_held()
    later = held.started_at + timedelta(days=2)
    gateway.fold(held, sent(started_at=later, ended_at=later))
    row = ask_one(gateway.layout.directory, "SELECT started_at, statement, message FROM jobs")
    assert row == {"started_at": later, "statement": STATEMENT, "message": None}
