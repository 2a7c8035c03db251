"""What reconciliation reads of a recording."""

from datetime import timedelta

import pytest

from hoop_mitm.archive import RESOLVED, open_archive
from tests.archive.building import NOON, Builder, seconds

DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))


def keys(records):
    return [record.key for record in records]


def test_jobs_are_told_with_how_they_were_asked_for(builder: Builder) -> None:
    session = builder.session(connection="acme")
    key = builder.job(session, "SELECT 1", executed_statement="SELECT 2", bytes_billed=7, id="j1")
    flow = builder.flow(session, job_key=key, door="jobs.insert", level="statements")
    builder.flow(session, job_key=key, door="jobs.getQueryResults", level="full")
    with open_archive(builder.write()) as archive:
        [record] = archive.ledger.jobs(["acme"], *DAY)

    assert (record.key, record.id, record.session_id, record.connection) == (key, "j1", session, "acme")
    assert record.statement == "SELECT 2"
    assert (record.flow_id, record.door, record.level, record.flow_state) == (
        flow,
        "jobs.insert",
        "statements",
        "complete",
    )
    assert (record.bytes_billed, record.principal.email) == (7, "alice@acme.test")


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "deny"},
        {"dry_run": True},
        {"project": "other"},
        {"at": NOON - timedelta(days=1)},
        {"at": NOON + timedelta(hours=12)},
    ],
    ids=["denied", "dry run", "another project", "before", "after"],
)
def test_what_cannot_be_at_bigquery_then_is_left_out(builder: Builder, change: dict) -> None:
    builder.job(builder.session(), "SELECT 1", **change)
    with open_archive(builder.write()) as archive:
        assert archive.ledger.jobs(["acme"], *DAY) == ()


def test_jobs_are_found_by_id_whenever_they_were(builder: Builder) -> None:
    session = builder.session()
    old = builder.job(session, "SELECT 1", id="old", at=NOON - timedelta(days=90))
    builder.flow(session, job_key=old, door="jobs.insert", at=NOON - timedelta(days=90))
    builder.job(session, "SELECT 2", id="other")
    with open_archive(builder.write()) as archive:
        [record] = archive.ledger.jobs_called(["acme"], {"old", "never"})
        assert archive.ledger.jobs_called(["acme"], set()) == ()
        assert archive.ledger.jobs_called(["other"], {"old"}) == ()

    assert (record.key, record.door) == (old, "jobs.insert")


@pytest.mark.parametrize(
    ("request_body", "response_body", "query_id", "may_be_jobless"),
    [
        ({"query": "SELECT 1", "jobCreationMode": "JOB_CREATION_OPTIONAL"}, {"queryId": "q1"}, "q1", True),
        ({"query": "SELECT 1"}, {"queryId": "q1"}, "q1", False),
        ({"query": "SELECT 1"}, None, None, False),
        (None, None, None, True),
        (b"\x00", b"not JSON", None, True),
    ],
)
def test_a_query_without_a_job_id_is_looked_at_more_closely(
    builder: Builder, request_body, response_body, query_id: str | None, *, may_be_jobless: bool
) -> None:
    session = builder.session()
    key = builder.job(session, "SELECT 1", id=None)
    builder.flow(session, job_key=key, door="jobs.query", request_body=request_body, response_body=response_body)
    with open_archive(builder.write()) as archive:
        [record] = archive.ledger.jobs(["acme"], *DAY)

    assert (record.id, record.query_id, record.may_be_jobless) == (None, query_id, may_be_jobless)


@pytest.mark.parametrize("door", ["mcp.execute_sql", "mcp.execute_sql_readonly"])
def test_a_statement_through_mcp_cannot_be_told_by_a_label(builder: Builder, door: str) -> None:
    session = builder.session()
    builder.flow(session, job_key=builder.job(session, "SELECT 1", id=None), door=door)
    with open_archive(builder.write()) as archive:
        [record] = archive.ledger.jobs(["acme"], *DAY)

    assert (record.door, record.may_be_jobless) == (door, True)


DEAD = "The gateway ended before the answer came."


@pytest.mark.parametrize(
    ("state", "flow", "event", "told"),
    [
        ("UNKNOWN", {"state": "open", "error": DEAD}, None, True),
        ("UNKNOWN", {"state": "open", "error": None}, None, False),
        ("UNKNOWN", {"state": "failed", "error": "no answer"}, None, False),
        ("UNKNOWN", {"state": "open", "error": DEAD}, RESOLVED, False),
        ("UNKNOWN", {"state": "open", "error": DEAD}, "request.refused", True),
        # Its polls tell how it went, although its own answer never came.
        ("DONE", {"state": "open", "error": DEAD}, None, False),
    ],
    ids=["open", "of a gateway that lives", "failed", "resolved", "another event", "known by its polls"],
)
def test_open_intents(builder: Builder, state: str, flow: dict, event: str | None, *, told: bool) -> None:
    session = builder.session()
    key = builder.job(session, "DELETE FROM t", id=None, state=state, at=NOON - timedelta(days=100))
    flow_id = builder.flow(session, job_key=key, door="jobs.query", status=None, **flow)
    builder.job(session, "SELECT 1", id="known")
    if event:
        builder.event(session, event, "…", flow_id=flow_id, details='{"outcome": "ran"}')
    with open_archive(builder.write()) as archive:
        intents = archive.ledger.open_intents(["acme"])
        [record] = archive.ledger.jobs(["acme"], NOON - timedelta(days=101), NOON)
        ids = archive.ledger.ids_of({session})

    assert keys(intents) == ([key] if told else [])
    assert ids == {session: ("known",)}
    assert record.under_way is (flow["state"] == "open" and flow["error"] is None)
    assert record.resolved == ("ran" if event == RESOLVED else None)


def test_exchanges_without_an_outcome(builder: Builder) -> None:
    session = builder.session(connection="acme")
    dead = builder.flow(session, door="tabledata.insertAll", kind="write", state="open", error=DEAD, status=None)
    alive = builder.flow(session, door="tables.delete", kind="admin", state="open", status=None, at=NOON + seconds(1))
    done = builder.flow(session, door="datasets.delete", state="open", error=DEAD, at=NOON + seconds(2))
    builder.event(session, RESOLVED, "…", flow_id=done)
    builder.flow(session, door="tables.insert")
    with open_archive(builder.write()) as archive:
        lost = archive.ledger.lost(*DAY)
        assert archive.ledger.lost(NOON + timedelta(hours=1), DAY[1]) == ()

    assert [(each.flow_id, each.under_way, each.kind) for each in lost] == [
        (dead, False, "write"),
        (alive, True, "admin"),
    ]
    assert lost[0].connection == "acme"


def test_the_small_questions(builder: Builder) -> None:
    first = builder.session(at=NOON - timedelta(days=3))
    builder.job(first, "SELECT 1", location="EU")
    builder.job(first, "SELECT 1", location="us-central1", id="b")
    builder.job(first, "SELECT 1", location="US", project="other", id="c")
    builder.job(first, "SELECT 1", location=None, id="d")
    for status, job in ((204, "gone"), (404, "not-there")):
        builder.flow(
            first,
            door="jobs.delete",
            status=status,
            url=f"https://bigquery.googleapis.com/bigquery/v2/projects/acme/jobs/{job}/delete?location=EU",
        )
    builder.event(None, "gateway.started", "…", id="event-1")
    with open_archive(builder.write()) as archive:
        ledger = archive.ledger
        assert ledger.begins() == NOON - timedelta(days=3)
        assert ledger.locations(["acme"]) == {"EU", "us-central1"}
        assert ledger.deletions() == {"https://bigquery.googleapis.com/bigquery/v2/projects/acme/jobs/gone"}
        assert (ledger.has_event("event-1"), ledger.has_event("event-2")) == (True, False)


def test_an_empty_recording(builder: Builder) -> None:
    with open_archive(builder.write()) as archive:
        assert archive.ledger.begins() is None
        assert archive.ledger.jobs(["acme"], *DAY) == ()
        assert archive.ledger.open_intents(["acme"]) == ()
