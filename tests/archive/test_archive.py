from datetime import UTC, datetime

import pytest

from hoop_mitm.archive import open_archive
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.errors import NotInArchive
from tests.archive.building import NOON, seconds, table_ref

A = "019a0000-1111-7000-8000-000000000001"
B = "019a0000-2222-7000-8000-000000000002"
C = "0300ffff-2222-4000-8000-000000000003"


@pytest.fixture
def archive(builder):
    builder.session("nightly", id=A, at=NOON)
    builder.session("nightly", id=B, at=NOON + seconds(100))
    builder.session("alice-python", id=C, at=NOON + seconds(200))
    with open_archive(builder.write()) as archive:
        yield archive


def test_sessions_come_newest_first_and_as_many_as_asked_for(archive):
    assert [session.id for session in archive.sessions()] == [C, B, A]
    assert [session.id for session in archive.sessions(2)] == [C, B]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (A, A),
        ("019a0000-1", A),
        ("019A0000-1", A),
        ("03", C),
        ("alice-python", C),
        ("@last", C),
        ("@last~0", C),
        ("@last~1", B),
        ("@last~2", A),
        ("nightly~0", B),
        ("nightly~1", A),
    ],
)
def test_a_session_is_found_by_id_prefix_name_and_age(archive, reference, expected):
    assert archive.find(reference).id == expected


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nightly", rf"2 sessions have the name 'nightly'.*nightly~0 is the newest.*\n  {B}.*\n  {A}"),
        ("019a0000", "2 sessions have an id that begins with '019a0000'. Give more of the id"),
        ("zzz", "No session in .* 'zzz'.*`hoop-mitm sessions` lists them"),
        ("", "No session"),
        ("%", "No session"),
        ("@last~3", "@last~3 does not exist: .* only 3 sessions"),
        ("nightly~2", "only 2 sessions named nightly"),
    ],
)
def test_what_is_unknown_or_ambiguous_is_said_with_the_next_step(archive, reference, words):
    with pytest.raises(NotInArchive, match=f"(?s){words}") as raised:
        archive.find(reference)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("reference", ["@last", "nightly", A])
def test_an_empty_archive_says_how_to_fill_it(builder, reference):
    with open_archive(builder.write()) as archive, pytest.raises(NotInArchive, match="holds no session yet"):
        archive.find(reference)


def test_short_ids_are_unique(archive):
    short = archive.short_ids()
    assert short == {A: "019a0000-1", B: "019a0000-2", C: "0300ffff"}
    assert all(archive.find(start).id == whole for whole, start in short.items())


def test_totals_count_what_ran_and_what_was_denied(builder):
    session = builder.session()
    builder.job(session, "SELECT 1", bytes_processed=100, bytes_billed=200)
    builder.job(session, "SELECT 2", bytes_processed=11, bytes_billed=22)
    builder.job(session, "SELECT 3", dry_run=True, bytes_processed=10**12)
    denied = builder.job(
        session, "DROP TABLE t", id=None, decision="deny", state="DENIED", bytes_processed=None, bytes_billed=None
    )
    builder.flow(session)
    builder.flow(session, job_key=denied, decision="deny", state="refused", status=403)
    other = builder.session("empty", at=NOON - seconds(1))
    with open_archive(builder.write()) as archive:
        full, empty = archive.sessions()
    assert (full.id, full.flows, full.jobs, full.denied) == (session, 2, 2, 1)
    assert (full.bytes_processed, full.bytes_billed) == (111, 222)
    assert (empty.id, empty.flows, empty.jobs, empty.denied, empty.bytes_processed) == (other, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("ago", "ended", "status"),
    [
        (3600, 60, "ended"),
        (0, None, "active"),
        (3600, None, "interrupted"),
    ],
)
def test_a_session_that_was_never_closed_is_active_only_while_something_is_seen_of_it(builder, ago, ended, status):
    builder.session(at=datetime.now(UTC) - seconds(ago), ended=ended)
    with open_archive(builder.write()) as archive:
        assert archive.find("@last").status == status


def test_a_session_is_shown_with_its_jobs_flows_and_events_in_order(builder):
    session = builder.session()
    second = builder.job(
        session,
        "SELECT 2",
        at=NOON + seconds(2),
        referenced_tables=[table_ref("acme.shop.orders")],
        destination=table_ref("acme._anon.x"),
        labels={"hoop-session": session, "team": "a"},
        schema='{"fields": [{"name": "a", "type": "RECORD", "fields": [{"name": "b", "type": "STRING"}]}]}',
        error="Not found",
    )
    first = builder.job(session, "SELECT 1", at=NOON + seconds(1))
    late = builder.flow(session, at=NOON + seconds(4), job_key=second)
    early = builder.flow(session, at=NOON + seconds(3), job_key=second, door="jobs.insert")
    alone = builder.flow(session, at=NOON + seconds(1), door="tables.get")
    builder.event(session, "identity.refused", "expired", at=NOON + seconds(1), details='{"reason": "expired"}')
    other = builder.session("other")
    builder.flow(other)
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))
    assert [(job.number, job.key) for job in detail.jobs] == [(1, first), (2, second)]
    assert [flow.id for flow in detail.flows] == [alone, early, late]
    assert detail.jobs[1].flows == (early, late)
    assert detail.flows[1].job_id == detail.jobs[1].id
    assert detail.events[0].details == {"reason": "expired"}
    job = detail.jobs[1]
    assert job.referenced_tables == (TableRef("acme", "shop", "orders"),)
    assert str(job.destination) == "acme._anon.x"
    assert job.labels["team"] == "a"
    assert job.schema[0].fields[0].name == "b"
    assert job.started_at == NOON + seconds(2)
    assert job.duration == seconds(1)


def test_a_job_and_a_flow_are_found_by_what_people_call_them(builder):
    session = builder.session()
    builder.job(session, "SELECT 1", id="job_abc")
    builder.job(session, "SELECT 2", id="job_abd", at=NOON + seconds(1))
    builder.job(session, "DROP TABLE t", id=None, at=NOON + seconds(2))
    flow = builder.flow(session)
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))
    found = {ref: detail.job(ref).number for ref in ("job_abc", "1", "#2", "job_abd", "3")}
    assert found == {"job_abc": 1, "1": 1, "#2": 2, "job_abd": 2, "3": 3}
    assert detail.flow(flow) == detail.flow(flow[-4:])
    for reference, words in (("job_ab", "2 jobs"), ("9", "3 jobs, and none"), ("", "none")):
        with pytest.raises(NotInArchive, match=words):
            detail.job(reference)
    with pytest.raises(NotInArchive, match="No flow"):
        detail.flow("zzz")


def test_an_exchange_has_headers_and_bodies_joined_from_their_parts(builder):
    session = builder.session()
    builder.flow(session, request_body=b"abcdef", request_headers='[["a", "1"], ["a", "2"]]')
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))
        exchange = archive.exchange(detail.flows[0])
    assert exchange.request_headers == (("a", "1"), ("a", "2"))
    assert exchange.request_body == b"abcdef"
    assert exchange.response_body is None
