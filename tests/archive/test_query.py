"""What a search lets through, on archives written straight into the schema."""

import json

import pytest

from hoop_mitm.archive import Cursor, Query, open_archive, shapes
from hoop_mitm.archive.query import candidates
from hoop_mitm.errors import NotInArchive
from tests.archive.building import NOON, seconds, table_ref

ORDERS = table_ref("acme.shop.orders")
TOP_SECRET = "SELECT *\n  FROM hr.salaries -- 100% sure_thing"


@pytest.fixture
def told(builder):
    """One thing of each kind, a second apart; a test names them in short."""
    alice = builder.session("nightly")
    bob = builder.session(
        "bobs", email="bob@acme.test", subject="u-bob", connection="partner", at=NOON, issuer="https://other.test"
    )
    at = iter(NOON + seconds(number) for number in range(100))
    builder.job(
        alice, "SELECT 1 FROM shop.orders", at=next(at), id="read", referenced_tables=[ORDERS], bytes_processed=5000
    )
    builder.job(bob, TOP_SECRET, at=next(at), id="secret", labels={"team": "Finance"}, bytes_processed=2**40)
    denied = {"state": "DENIED", "decision": "deny", "rule": "read_only", "message": "Analysts do not write."}
    builder.job(bob, "DROP TABLE t", at=next(at), id=None, statement_type=None, **denied)
    builder.job(alice, "SELEC", at=next(at), id="broken", error="Syntax error near SELEC", bytes_processed=None)
    builder.job(
        alice,
        None,
        at=next(at),
        id="load",
        job_type="LOAD",
        statement_type=None,
        destination=table_ref("acme.raw.Events_1"),
    )
    masked = {"executed_statement": "SELECT SHA256(name) FROM people"}
    builder.job(alice, "SELECT name FROM people", at=next(at), id="masked", **masked)
    builder.job(alice, "SELECT 1", at=next(at), id="estimate", dry_run=True, bytes_processed=2**50)
    given = {"door": "tabledata.list", "tables": [ORDERS], "response_size": 7000}
    builder.flow(bob, at=next(at), url="https://bigquery.googleapis.com/listing", **given)
    builder.flow(alice, at=next(at), job_key="acme:read")
    refused = {"state": "refused", "decision": "deny", "rule": "ownership.job", "message": "It is not yours."}
    builder.flow(bob, at=next(at), job_key="acme:read", url="https://bigquery.googleapis.com/stolen", **refused)
    builder.flow(alice, at=next(at), job_key="acme:read", state="failed", error="The connection broke.")
    unknown = refused | {"rule": "identity.expired", "message": "The token has expired."}
    flow = builder.flow(None, at=next(at), door=None, url="https://bigquery.googleapis.com/late", **unknown)
    who = {"issuer": "https://other.test", "subject": "u-bob", "email": "bob@acme.test"}
    builder.event(None, "identity.refused", "The token has expired.", at=next(at), flow_id=flow, **who)
    builder.event(None, "tunnel.refused", "No tunnel to evil.test.", at=next(at))
    builder.event(alice, "session.started", "alice came.", at=next(at))
    return builder


def found(builder, query, limit=50):
    """Ids of jobs; the end of the URL of exchanges; types of events. Newest first."""
    with open_archive(builder.write()) as archive:
        page = archive.search(query, limit=limit)
    return [
        (hit.job.id or hit.job.statement)
        if hit.job
        else (hit.flow.url.rsplit("/")[-1] if hit.flow.error is None else "broke")
        if hit.flow
        else hit.event.type
        for hit in page.hits
    ]


EVERYTHING = [
    "tunnel.refused",
    "late",
    "broke",
    "stolen",
    "listing",
    "estimate",
    "masked",
    "load",
    "broken",
    "DROP TABLE t",
    "secret",
    "read",
]


def test_a_job_is_found_once_and_an_exchange_or_event_on_its_own_only_where_the_job_does_not_tell_it(told):
    assert found(told, Query()) == EVERYTHING


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("salaries"), ["secret"]),
        (Query("FROM HR.Salaries"), ["secret"]),
        (Query("select * from hr"), ["secret"]),
        (Query("100% sure_"), ["secret"]),
        (Query("100%sure"), []),
        (Query("(?i)select"), []),
        (Query("[a-z] [a-z]"), []),
        (Query("sha256("), ["masked"]),
        (Query("acme.shop.orders"), ["listing", "read"]),
        (Query("raw.events_"), ["load"]),
        (Query("syntax error"), ["broken"]),
        (Query("do not write"), ["DROP TABLE t"]),
        (Query("ownership.job"), ["stolen"]),
        (Query("connection broke"), ["broke"]),
        (Query("evil.test"), ["tunnel.refused"]),
        (Query("bob@ACME"), ["late", "stolen", "listing", "DROP TABLE t", "secret"]),
        (Query("u-bob"), ["late", "stolen", "listing", "DROP TABLE t", "secret"]),
        (Query("team=fin"), ["secret"]),
        (Query("/stolen"), ["stolen"]),
        (Query("estimat"), ["estimate"]),
        (Query("no such words"), []),
        (Query(principal="BOB"), ["late", "stolen", "listing", "DROP TABLE t", "secret"]),
        (Query(principal="bob_acme"), []),
        (Query(connection="partner"), ["stolen", "listing", "DROP TABLE t", "secret"]),
        (Query(connection="part"), []),
        (Query(table="orders"), ["listing", "read"]),
        (Query(table="SHOP.orders"), ["listing", "read"]),
        (Query(table="`acme.shop.orders`"), ["listing", "read"]),
        (Query(table="other.shop.orders"), []),
        (Query(table="order"), []),
        (Query(table="events_1"), ["load"]),
        (Query(table="eventsX1"), []),
        (Query(table="raw.*"), ["load"]),
        (Query(table="acme.*.*s*"), ["listing", "load", "read"]),
        (Query(since=NOON + seconds(11)), ["tunnel.refused", "late"]),
        (Query(until=NOON + seconds(2)), ["secret", "read"]),
        (Query(since=NOON + seconds(1), until=NOON + seconds(2)), ["secret"]),
        (Query(verdict="deny"), ["tunnel.refused", "late", "stolen", "DROP TABLE t"]),
        (Query(verdict="review"), []),
        (Query(type="select"), ["estimate", "masked", "broken", "secret", "read"]),
        (Query(type="LOAD"), ["load"]),
        (Query(type="DROP_TABLE"), ["DROP TABLE t"]),
        (Query(type="drop_table", verdict="deny"), ["DROP TABLE t"]),
        (Query(type="DROP_TABLE", verdict="allow"), []),
        (Query(type="DROP_TABLE", until=NOON + seconds(2)), []),
        (Query(type="DROP_VIEW"), []),
        (Query(type="query"), ["estimate", "masked", "broken", "DROP TABLE t", "secret", "read"]),
        (Query(type="tabledata.list"), ["listing"]),
        (Query(type="tunnel.refused"), ["tunnel.refused"]),
        (Query(min_bytes=5000), ["listing", "secret", "read"]),
        (Query(min_bytes=5001), ["listing", "secret"]),
        (Query("sele", principal="alice", type="select", until=NOON + seconds(6)), ["masked", "broken", "read"]),
    ],
    ids=str,
)
def test_what_is_asked_for_is_found(told, query, expected):
    assert found(told, query) == expected


@pytest.mark.parametrize(
    ("statement", "type_", "hits"),
    [
        ("DELETE FROM t WHERE true", "DELETE", 1),
        ("-- SELECT\n delete t where true", "DELETE", 1),
        ("SELECT 'DELETE'", "DELETE", 0),
        ("SELECT 1; DELETE FROM t WHERE true", "DELETE", 1),
        ("SELECT 1; DELETE FROM t WHERE true", "script", 1),
        ("FROM t |> WHERE x = 1", "SELECT", 1),
        ("SELEC 1", "SELECT", 0),
    ],
)
def test_a_statement_that_bigquery_never_saw_is_found_by_the_type_that_its_words_tell(builder, statement, type_, hits):
    session = builder.session()
    builder.job(session, statement, id=None, statement_type=None, state="DENIED", decision="deny")
    builder.job(session, "SELECT 2", statement_type="UPDATE")
    assert len(found(builder, Query(type=type_, verdict="deny"))) == hits


@pytest.mark.parametrize(
    ("statement", "text", "stands"),
    [
        ("SELECT '100%'", "100%", True),
        ("SELECT '1000'", "100%", False),
        ("SELECT a_b", "a_b", True),
        ("SELECT axb", "a_b", False),
        ("SELECT 'it''s \"so\"'", "it''s \"so\"", True),
        ("SELECT `a`.`b`", "`a`.`b`", True),
        ("SELECT 1\nFROM t", "1 from", True),
        ("SELECT 1\r\n\tFROM t", "1 from", True),
        ("SELECT 1\u00a0\u2003FROM t", "1 from", True),
        ("SELECT 1 FROM t", "1\n\nfrom", True),
        ("SELECT 1\vFROM t", "1 from", True),
        ("SELECT 1FROM", "1 from", False),
        ("SELECT 'GRÖSSE'", "größe", False),
        ("SELECT 'ÄRGER Ÿ Ж Ω'", "ärger ÿ ж ω", True),
        ("SELECT 'ärger ж'", "ÄRGER Ж", True),
        ("SELECT '日本 語'", "日本 語", True),
        ("SELECT r'\\d+'", r"\d+", True),
        ("SELECT '(a|b)* [c]'", "(a|b)* [c]", True),
        ("SELECT 'ab c'", "(a|b)* c", False),
        ("SELECT 'x' -- $1 {y}", "$1 {y}", True),
        ("SELECT 1  AS x", "  as", True),
    ],
)
def test_a_text_is_literal_but_for_case_and_white_space(builder, statement, text, stands):
    builder.job(builder.session(), statement)
    assert bool(found(builder, Query(text))) == stands


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("salaries", ("statement",)),
        ("sha256", ("statement",)),
        ("acme.raw.events_1", ("table",)),
        ("read_only", ("error",)),
        ("team=finance", ("label",)),
        ("broken", ("job",)),
        ("listing", ("url",)),
        ("SELEC", ("statement", "error")),
    ],
)
def test_where_the_text_stands_is_told(told, text, matched):
    with open_archive(told.write()) as archive:
        assert matched in [hit.matched for hit in archive.search(Query(text)).hits]


def test_who_was_refused_is_known_from_the_event_where_there_is_no_session(told):
    with open_archive(told.write()) as archive:
        [hit] = archive.search(Query("token has expired")).hits
    assert (hit.kind, str(hit.principal), hit.session) == ("flow", "bob@acme.test", None)


def test_a_job_is_found_with_its_place_in_its_session_and_its_exchanges(told):
    with open_archive(told.write()) as archive:
        [hit] = archive.search(Query("syntax error")).hits
        detail = archive.show(hit.session)
    assert hit.job == detail.job("broken")
    assert hit.job.number == 2


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_pages_are_the_whole_in_order_also_of_what_happened_at_one_time(told, size):
    for number in range(3):
        told.job(told.tables["sessions"][0]["id"], "SELECT 9", at=NOON, id=f"same-{number} -x")
    whole = found(told, Query())
    with open_archive(told.write()) as archive:
        keys, place, pages = [], None, 0
        while pages == 0 or place is not None:
            page = archive.search(Query(), limit=size, before=place and Cursor.parse(str(place)))
            keys += [hit.cursor for hit in page.hits]
            place, pages = page.next, pages + 1
    assert len(keys) == len(set(keys)) == len(whole) == 15
    assert pages == -(-15 // size)
    assert [hit.id for hit in keys if hit.kind == "job"][-4:] == [
        f"acme:{name}" for name in ("same-2 -x", "same-1 -x", "same-0 -x", "read")
    ]


@pytest.mark.parametrize("text", ["", "x", "2026-11-22", "12-job-", "12-thing-x", "-1-job-x", "9" * 19 + "-job-x"])
def test_what_is_no_place_is_refused_in_words(text):
    with pytest.raises(NotInArchive, match="is no place in a search"):
        Cursor.parse(text)


def test_an_empty_archive_holds_nothing(builder):
    with open_archive(builder.write()) as archive:
        for query in (Query(), Query("x"), Query("x", rows=True)):
            assert archive.search(query) == type(archive.search(query))((), None)


HOSTILE = [
    "'; DROP TABLE jobs; --",
    "$text",
    "\\",
    "%",
    "_",
    "\x00",
    "{}",
    "a\\ b",
    "(",
    "( ",
    "* *",
    "\\Q \\E",
    "😀",
    "\ud800",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_no_text_is_sql_or_a_pattern(told, hostile):
    with open_archive(told.write()) as archive:
        for query in (Query(principal=hostile), Query(table=hostile), Query(type=hostile), Query(connection=hostile)):
            assert candidates(archive._database, query, 50) == ()
        hits = archive.search(Query(hostile)).hits
    assert all(hostile.strip() in json.dumps(shapes.hit(hit), ensure_ascii=False).replace("\\n", "\n") for hit in hits)


def test_what_a_program_asked_is_found_by_its_name(builder):
    cursor = [
        {"pid": 7, "name": "Cursor", "path": "", "script": None},
        {"pid": 9, "name": "bq", "path": "", "script": None},
    ]
    inside = builder.session("inside", program="Cursor › bq", process=json.dumps(cursor))
    outside = builder.session("outside")
    for session, program in ((inside, "Cursor › bq"), (inside, "zsh › dbt"), (outside, None)):
        builder.flow(session, job_key=builder.job(session, "SELECT 1"), program=program, door="jobs.query")
        builder.flow(session, program=program)
    with open_archive(builder.write()) as archive:
        found = archive.search(Query("cursor › b")).hits
        assert [(hit.session.name, hit.matched, (hit.job or hit.flow).program) for hit in found] == [
            ("inside", ("program",), "Cursor › bq")
        ] * 2
        assert len(archive.search(Query("dbt")).hits) == 2
        assert archive.show(archive.find(inside)).programs == ("Cursor › bq", "zsh › dbt")
        assert archive.show(archive.find(outside)).programs == ()
