import pytest

from hoop_mitm.archive import open_archive, summary
from tests.archive.building import table_ref

ORDERS, PEOPLE, SECRET = (table_ref(name) for name in ("acme.shop.orders", "acme.hr.people", "acme.hr.secret"))


def shown(builder, session):
    with open_archive(builder.write()) as archive:
        return archive.show(archive.find(session))


@pytest.mark.parametrize(
    ("facts", "outcome", "trouble"),
    [
        ({}, "ok", None),
        ({"decision": "deny", "rule": "r", "message": "No.", "error": "x"}, "denied", "r: No."),
        ({"decision": "review", "rule": "r", "message": "Wait."}, "review", "r: Wait."),
        ({"decision": "review", "rule": "review.rejected", "message": "No."}, "denied", "review.rejected: No."),
        ({"decision": "review", "rule": "review.expired", "message": "Late."}, "denied", "review.expired: Late."),
        ({"decision": "review", "rule": "review.withdrawn", "message": "Stop."}, "review", "review.withdrawn: Stop."),
        ({"rule": "review.approved"}, "ok", None),
        ({"error": "Syntax error"}, "error", "Syntax error"),
        ({"dry_run": True}, "estimate", None),
        ({"dry_run": True, "error": "Syntax error"}, "error", "Syntax error"),
        ({"state": "RUNNING"}, "unfinished", None),
        ({"state": "UNKNOWN"}, "unfinished", None),
    ],
)
def test_how_a_job_ended_is_one_word(builder, facts, outcome, trouble):
    session = builder.session()
    builder.job(session, "SELECT 1", **facts)
    [job] = shown(builder, session).jobs
    assert (summary.outcome(job), summary.trouble(job)) == (outcome, trouble)


@pytest.mark.parametrize(
    ("table", "name"), [("acme.raw.events", "acme.raw.events"), ("acme._anon12.x", None), (None, None)]
)
def test_the_anonymous_table_of_a_result_is_no_destination(builder, table, name):
    session = builder.session()
    builder.job(session, "SELECT 1", destination=table and table_ref(table))
    found = summary.destination(shown(builder, session).jobs[0])
    assert (found and str(found)) == name


def test_each_table_that_was_read_is_told_with_what_read_it(builder):
    session = builder.session()
    builder.job(session, "a", referenced_tables=[ORDERS, PEOPLE])
    builder.job(session, "b", referenced_tables=[ORDERS, ORDERS])
    builder.job(session, "c", referenced_tables=[SECRET], decision="deny")
    builder.job(session, "d", referenced_tables=[SECRET], dry_run=True)
    builder.flow(session, door="tabledata.list", tables=[PEOPLE])
    builder.flow(session, door="tabledata.list", tables=[SECRET], state="refused")
    builder.flow(session, door="tables.get", tables=[SECRET])
    assert summary.tables_read(shown(builder, session)) == {
        "acme.hr.people": ("#1", "tabledata.list"),
        "acme.shop.orders": ("#1", "#2"),
    }


def test_what_needs_attention_is_told_once(builder):
    session = builder.session()
    key = builder.job(session, "a", error="broken")
    builder.job(session, "b")
    builder.flow(session, job_key=key, decision="deny", rule="r", message="told by the job")
    builder.flow(session, decision="deny", rule="door.unknown", message="No.")
    builder.flow(session, state="open")
    builder.flow(session, state="truncated", error="cut")
    builder.flow(session)
    builder.event(session, "identity.refused", "expired")
    builder.event(session, "session.started", "came")
    found = [concern.message for concern in summary.concerns(shown(builder, session))]
    assert found == [
        "broken",
        "denied by door.unknown: No.",
        "was sent, and what came of it is not known",
        "truncated: cut",
        "identity.refused: expired",
    ]
