"""Which jobs are explained by the recording, and what is said of those that are not."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hoop_mitm.archive import Recorded
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity import Principal
from hoop_mitm.reconciling import jobs_view
from hoop_mitm.reconciling.comparing import Compared, Setting, compare
from hoop_mitm.reconciling.ran import Ran

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SESSION = "0193aaaa-0000-7000-8000-000000000001"
GATEWAY, ALICE = "gateway@acme.iam.example", "alice@acme.example"

RAN = Ran("acme", "US", "job_1", GATEWAY, NOON, "DONE", statement="SELECT 1", labels={"hoop-session": SESSION})
RECORDED = Recorded(
    key="acme:job_1",
    id="job_1",
    project="acme",
    location="US",
    session_id=SESSION,
    connection="acme",
    principal=Principal("https://login.example", "u-1", ALICE),
    job_type="QUERY",
    statement="SELECT 1",
    destination=None,
    state="DONE",
    error=None,
    bytes_billed=None,
    started_at=NOON,
    ended_at=NOON + timedelta(seconds=2),
    flow_id="flow-1",
    door="jobs.insert",
    flow_state="complete",
    level="full",
)
NAMELESS = replace(RECORDED, key="flow-1", id=None, door="jobs.query")


def compared(
    jobs: Iterable[Ran],
    recorded: Iterable[Recorded],
    *,
    long_ago: Iterable[Recorded] = (),
    direct: Collection[str] = (),
    asker: str | None = "auditor@acme.iam.example",
) -> Compared:
    archive = list(long_ago)
    setting = Setting(lambda ids: [record for record in archive if record.id in ids], asker, frozenset(direct))
    return compare(list(jobs), list(recorded), setting)


def findings(result: Compared) -> list[tuple[str, str | None]]:
    return [(finding.kind, finding.job) for finding in result.findings]


PAST = [("bypassed", "acme:US.job_1")]


@pytest.mark.parametrize(
    ("job", "record", "expected"),
    [
        (RAN, RECORDED, []),
        (replace(RAN, location="us"), RECORDED, []),
        (RAN, replace(RECORDED, location=None), []),
        (RAN, replace(RECORDED, state="PENDING"), []),
        (RAN, replace(RECORDED, id="job_2"), PAST),
        (replace(RAN, project="other"), RECORDED, [("bypassed", "other:US.job_1")]),
        (replace(RAN, location="EU"), RECORDED, [("bypassed", "acme:EU.job_1")]),
        # BigQuery refused the id, or nobody knows: what has it may be somebody else's.
        (RAN, replace(RECORDED, state="FAILED"), PAST),
        (RAN, replace(RECORDED, state="UNKNOWN"), []),
        (replace(RAN, labels={}), replace(RECORDED, state="UNKNOWN"), PAST),
        (replace(RAN, labels={"hoop-session": "another"}), replace(RECORDED, state="UNKNOWN"), PAST),
        # What is recorded must also be what ran.
        (replace(RAN, labels={}), RECORDED, [("session", "acme:US.job_1")]),
        (replace(RAN, labels={"hoop-session": "another"}), RECORDED, [("session", "acme:US.job_1")]),
        # Google's MCP server takes no labels; another session's is one too many all the same.
        (replace(RAN, labels={"goog-mcp-server": "true"}), replace(RECORDED, door="mcp.execute_sql"), []),
        (
            replace(RAN, labels={"hoop-session": "another"}),
            replace(RECORDED, door="mcp.execute_sql"),
            [("session", "acme:US.job_1")],
        ),
        (replace(RAN, bytes_billed=10), replace(RECORDED, bytes_billed=20), [("bytes_billed", "acme:US.job_1")]),
        (replace(RAN, bytes_billed=10), replace(RECORDED, bytes_billed=10), []),
        (replace(RAN, bytes_billed=10), RECORDED, []),
        (RAN, replace(RECORDED, bytes_billed=10), []),
        (replace(RAN, bytes_billed=10, state="RUNNING"), replace(RECORDED, bytes_billed=20), []),
        (replace(RAN, bytes_billed=10), replace(RECORDED, bytes_billed=20, state="RUNNING"), []),
    ],
)
def test_a_job_with_an_id_is_told_by_it(job: Ran, record: Recorded, expected: list[tuple[str, str | None]]) -> None:
    assert findings(compared([job], [record])) == expected


@pytest.mark.parametrize(
    ("change", "record", "explained"),
    [
        ({}, NAMELESS, True),
        ({"labels": {}}, NAMELESS, False),
        ({"labels": {"hoop-session": "another"}}, NAMELESS, False),
        ({"statement": "SELECT 2"}, NAMELESS, False),
        ({"statement": None}, NAMELESS, False),
        ({"statement": "SELECT 2"}, replace(NAMELESS, statement=None), True),
        ({"kind": "LOAD"}, NAMELESS, False),
        ({"created_at": NOON - timedelta(minutes=1)}, NAMELESS, True),
        ({"created_at": NOON - timedelta(minutes=3)}, NAMELESS, False),
        ({"created_at": NOON + timedelta(minutes=3)}, NAMELESS, False),
        # A request whose end nobody saw may have become a job a little later.
        ({"created_at": NOON + timedelta(minutes=3)}, replace(NAMELESS, state="UNKNOWN"), True),
        ({"created_at": NOON + timedelta(minutes=9)}, replace(NAMELESS, state="UNKNOWN"), False),
        # One that failed explains a job that failed, and no other.
        ({"error": "no such column"}, replace(NAMELESS, state="FAILED"), True),
        ({}, replace(NAMELESS, state="FAILED"), False),
        ({"error": "no such column"}, NAMELESS, False),
        # Where BigQuery said how it called the query, nothing else counts.
        ({}, replace(NAMELESS, query_id="job_1"), True),
        ({}, replace(NAMELESS, query_id="job_2"), False),
    ],
)
def test_a_job_without_a_recorded_id_is_told_by_all_else(
    change: dict[str, object], record: Recorded, *, explained: bool
) -> None:
    assert findings(compared([replace(RAN, **change)], [record])) == ([] if explained else PAST)


def test_one_record_explains_one_job() -> None:
    """The bypass: run what the gateway just ran, word for word, with its label."""
    result = compared([RAN, replace(RAN, id="job_2", user=ALICE)], [NAMELESS])
    assert findings(result) == [("bypassed", "acme:US.job_2")]


def test_a_job_that_was_recorded_long_before_or_after_is_found_by_its_id() -> None:
    result = compared([RAN], [], long_ago=[replace(RECORDED, started_at=NOON - timedelta(days=3))])
    assert (findings(result), result.counts.matched) == ([], 1)


def test_what_is_recorded_and_not_listed_is_left_over() -> None:
    result = compared([], [RECORDED, NAMELESS])
    assert [record.key for record in result.left] == ["acme:job_1", "flow-1"]


CHILD = replace(RAN, id="script_job_a_0", parent_id="job_1", statement="SELECT x", labels={})


@pytest.mark.parametrize(
    ("jobs", "recorded", "expected", "children"),
    [
        ([RAN, CHILD], [RECORDED], [], 1),
        ([CHILD, RAN], [RECORDED], [], 1),
        # A statement can be a script again.
        ([replace(CHILD, id="deeper", parent_id="script_job_a_0"), CHILD, RAN], [RECORDED], [], 2),
        ([CHILD], [replace(RECORDED, state="FAILED")], [("bypassed", "acme:US.script_job_a_0")], 0),
        ([replace(CHILD, location="EU"), RAN], [RECORDED], [("bypassed", "acme:EU.script_job_a_0")], 0),
        ([CHILD], [], [("bypassed", "acme:US.script_job_a_0")], 0),
    ],
)
def test_a_statement_of_a_recorded_script_is_no_finding(
    jobs: list[Ran], recorded: list[Recorded], expected: list[tuple[str, str | None]], children: int
) -> None:
    result = compared(jobs, recorded)
    assert (findings(result), result.counts.children) == (expected, children)


def test_a_script_of_another_day_explains_its_late_statements() -> None:
    late = replace(CHILD, created_at=NOON + timedelta(days=1))
    result = compared([late], [], long_ago=[RECORDED])
    assert (findings(result), result.counts.children) == ([], 1)


def test_a_script_that_went_past_is_one_finding_with_its_statements_counted() -> None:
    result = compared([RAN, CHILD, replace(CHILD, id="script_job_a_1")], [])
    assert findings(result) == PAST
    assert result.findings[0].children == 2


OURS = replace(
    RAN,
    user="auditor@acme.iam.example",
    statement=jobs_view.statement("acme", "US", NOON - timedelta(days=1), NOON),
    labels={"hoop-reconcile": "jobs"},
    destination=TableRef("acme", "_5f1a", "anon1"),
)


@pytest.mark.parametrize(
    ("job", "ours"),
    [
        (OURS, True),
        (replace(OURS, labels={}), True),
        (replace(OURS, destination=None), True),
        # The label alone, the text as somebody else, the text with more in it, and its rows put somewhere.
        (replace(RAN, user="auditor@acme.iam.example", labels={"hoop-reconcile": "jobs"}), False),
        (replace(OURS, user=ALICE), False),
        (replace(OURS, statement=f"{OURS.statement}; DROP TABLE shop.orders"), False),
        (replace(OURS, statement=(OURS.statement or "").replace("acme", "acme`.`x`.y; SELECT * FROM `z", 1)), False),
        (replace(OURS, destination=TableRef("acme", "shop", "loot")), False),
        (replace(OURS, kind="COPY"), False),
    ],
)
def test_only_reconciliation_itself_is_taken_for_reconciliation(job: Ran, *, ours: bool) -> None:
    result = compared([job], [])
    assert (findings(result) == []) is ours
    assert result.counts.own == ours


def test_without_knowing_who_asks_nothing_is_taken_for_ours() -> None:
    assert findings(compared([replace(OURS, user="")], [], asker=None)) == PAST


def test_background_jobs_of_bigquerys_own_are_counted() -> None:
    result = compared([replace(RAN, kind=None, user="")], [])
    assert (findings(result), result.counts.background) == ([], 1)


@pytest.mark.parametrize(
    ("direct", "expected"),
    [
        ([], {"etl@acme.example", GATEWAY, "auditor@acme.iam.example"}),
        (["etl@acme.example"], {GATEWAY, "auditor@acme.iam.example"}),
        # Neither what recorded jobs ran as nor what reconciliation asks as can be let off.
        (["etl@acme.example", GATEWAY, "auditor@acme.iam.example"], {GATEWAY, "auditor@acme.iam.example"}),
    ],
)
def test_accounts_that_may_go_directly(direct: list[str], expected: set[str]) -> None:
    others = ["etl@acme.example", GATEWAY, "auditor@acme.iam.example"]
    jobs = [replace(RAN, id=f"past_{user}", user=user) for user in others]

    result = compared([RAN, *jobs], [RECORDED], direct=direct)

    assert {finding.user for finding in result.findings} == expected
    assert sum(result.counts.direct.values()) == 3 - len(expected)


@pytest.mark.parametrize(
    ("job", "said", "next_step"),
    [
        (replace(RAN, user=ALICE, labels={}), f"with the rights of {ALICE}.", "direct_accounts"),
        (replace(RAN, user=""), "with the rights of somebody unknown.", "direct_accounts"),
        (replace(RAN, user=GATEWAY), "the gateway's own account", "Rotate"),
        (replace(RAN, user="auditor@acme.iam.example"), "the gateway's own account", "Rotate"),
        (RAN, f"the label of session {SESSION}", "`hoop-mitm verify`"),
    ],
)
def test_what_went_past_says_with_whose_rights(job: Ran, said: str, next_step: str) -> None:
    known = replace(RAN, id="job_0"), replace(RECORDED, id="job_0", key="acme:job_0")
    [finding] = compared([known[0], job], [known[1]]).findings
    assert said in finding.message
    assert next_step in finding.next_step


@pytest.mark.parametrize(
    ("recorded", "ran", "doubtful", "not_compared"),
    [
        ("SELECT 1", "SELECT 1", 0, 0),
        ("SELECT 1", "SELECT 2", 1, 0),
        (None, "SELECT 1", 0, 1),
        ("SELECT 1", None, 0, 1),
    ],
)
def test_texts_are_compared_where_both_are_there(
    recorded: str | None, ran: str | None, doubtful: int, not_compared: int
) -> None:
    result = compared([replace(RAN, statement=ran)], [replace(RECORDED, statement=recorded)])
    assert (len(result.doubtful), result.counts.texts_not_compared) == (doubtful, not_compared)


def test_every_job_is_counted_once() -> None:
    jobs = [
        RAN, CHILD, OURS, replace(RAN, id="b", kind=None), replace(RAN, id="d", user="etl@acme.example"),
        replace(RAN, id="p", user=ALICE), replace(CHILD, id="pc", parent_id="p", user=ALICE),
    ]  # fmt: skip
    result = compared(
        [replace(OURS, id="own") if job is OURS else job for job in jobs], [RECORDED], direct=["etl@acme.example"]
    )
    counts = result.counts

    explained = counts.matched + counts.children + counts.own + counts.background + sum(counts.direct.values())
    assert counts.jobs == len(jobs) == explained + sum(1 + finding.children for finding in result.findings)
