"""The archive explains itself, and answers what an auditor asks."""

import hashlib
from datetime import date
from importlib import resources
from pathlib import Path

import duckdb

from hoop_mitm.archive import database
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import archive_file
from tests.recording.building import BASE, LIST_ROWS, SESSION, ask, event, flow, new_id, now, session
from tests.recording.folding import Gateway


def empty() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())
    return connection


def test_every_table_view_and_column_has_a_comment() -> None:
    archive = empty()
    for kind in ("tables", "views"):
        bare = f"SELECT {kind[:-1]}_name FROM duckdb_{kind}() WHERE NOT internal AND coalesce(comment, '') = ''"
        assert archive.execute(bare).fetchall() == []
    bare_columns = (
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND coalesce(comment, '') = ''"
    )
    assert archive.execute(bare_columns).fetchall() == []


#: An archive of one version is the same everywhere: `verify` compares each definition and comment with these.
PINNED = (4, "17228ebde755163a788fbb807ee1838751c60c497bbdfc904920536e03351d18")


def test_the_schema_is_not_changed_without_a_new_version() -> None:
    """Changed on purpose? Then raise VERSION in archive_file and database, say in migrating what becomes of the
    version before, and write the new digest here."""
    text = resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text()
    assert (archive_file.VERSION, hashlib.sha256(text.encode()).hexdigest()) == PINNED
    assert f"-- Version {archive_file.VERSION}.\n" in text
    assert archive_file.VERSION == database.VERSION


def test_the_schema_may_be_run_again() -> None:
    archive = empty()
    archive.execute(resources.files("hoop_mitm.recording").joinpath("schema.sql").read_text())


def test_views_go_with_the_file_whatever_it_is_called(gateway: Gateway, tmp_path: Path) -> None:
    gateway.fold(SESSION, flow())
    copy = (tmp_path / "hoop.duckdb").rename(tmp_path / "evidence-2026.duckdb")
    with duckdb.connect(copy, read_only=True) as archive:
        for view in ("table_reads_by_day", "cost_by_day", "session_overview", "denials"):
            archive.execute(f"FROM {view}").fetchall()


BOB = Principal("https://issuer.example", "bob", None, (), "machine")


def query(statement: str, number: int, **changes: object):
    reference = {"projectId": "acme", "jobId": f"job{number}", "location": "EU"}
    answer = {
        "jobComplete": True,
        "jobReference": reference,
        "totalBytesProcessed": "1000",
        "totalBytesBilled": str(2**40),
    }
    return flow(request={"query": statement}, response=answer, statement=statement, **changes)


def test_who_read_which_table_on_which_day(gateway: Gateway) -> None:
    bobs, at = session(principal=BOB), now()
    gateway.fold(
        query("SELECT * FROM shop.orders", 1, started_at=at),
        query("SELECT * FROM shop.orders JOIN shop.customers USING (id)", 2, started_at=at),
        query("SELECT * FROM shop.orders", 3, session=bobs, started_at=at),
        flow(LIST_ROWS, tables=(TableRef("acme", "shop", "employees"),), session=bobs, started_at=at),
        flow(LIST_ROWS, tables=(TableRef("acme", "shop", "secret"),), status=403),
        query("SELECT * FROM shop.denied", 4, state="refused", status=403, verdict=Verdict("deny", "rule", "No.")),
    )
    today = at.date()
    rows = ask(
        gateway.layout.directory,
        'SELECT "day", principal, dataset, "table", reads FROM table_reads_by_day ORDER BY ALL',
    )
    assert rows == [
        (today, "alice@acme.example", "shop", "customers", 1),
        (today, "alice@acme.example", "shop", "orders", 2),
        (today, "bob", "shop", "employees", 1),
        (today, "bob", "shop", "orders", 1),
    ]


def test_what_each_principal_cost_per_day(gateway: Gateway) -> None:
    at, bobs = now(), session(principal=BOB)
    gateway.fold(
        query("SELECT 1", 1, started_at=at),
        query("SELECT 2", 2, started_at=at),
        query("SELECT 3", 3, started_at=at, session=bobs),
    )
    rows = ask(
        gateway.layout.directory, 'SELECT "day", principal, jobs, bytes_billed, usd FROM cost_by_day ORDER BY principal'
    )
    today = at.date()
    assert rows == [(today, "alice@acme.example", 2, 2**41, 12.5), (today, "bob", 1, 2**40, 6.25)]
    assert isinstance(rows[0][0], date)


def test_what_was_denied(gateway: Gateway) -> None:
    refused = query(
        "DROP TABLE shop.orders", 1, state="refused", status=403, verdict=Verdict("deny", "read-only", "No.")
    )
    gateway.fold(refused, event(), event("gateway.started"), event(flow_id=refused.id))
    rows = ask(gateway.layout.directory, "SELECT principal, rule, message, statement FROM denials ORDER BY rule")
    assert rows == [
        (None, "identity.refused", "The token has expired.", None),
        ("alice@acme.example", "read-only", "No.", "DROP TABLE shop.orders"),
    ]


def test_sessions_at_a_glance(gateway: Gateway) -> None:
    gateway.fold(
        query("SELECT 1", 1),
        flow(url=f"{BASE}/datasets", state="refused", status=403, verdict=Verdict("deny", "r", "No.")),
    )
    rows = ask(
        gateway.layout.directory, "SELECT id, principal, flows, jobs, denied, bytes_processed FROM session_overview"
    )
    assert rows == [(SESSION.id, "alice@acme.example", 2, 1, 1, 1000)]


def test_what_reviewers_refused_is_a_denial_of_whoever_asked(gateway: Gateway) -> None:
    reviewer = Principal("https://issuer.example", "carol", "carol@acme.example")
    reference = {"projectId": "acme", "jobId": "held", "location": "EU"}
    held = flow(
        request={"query": "DELETE FROM shop.orders WHERE true"},
        response={"jobComplete": False, "jobReference": reference},
        statement="DELETE FROM shop.orders WHERE true",
        state="held",
        verdict=Verdict("review", "policy.deletions", "Held."),
    )
    about = {"review": new_id(), "project": "acme", "job": "held"}

    def told(kind: str, **changes: object):
        return event(f"review.{kind}", session_id=SESSION.id, details=about, **changes)

    gateway.fold(
        held,
        told("requested", principal=SESSION.principal),
        told("rejected", principal=reviewer, message="carol rejected this request: No."),
        told("withdrawn"),
    )
    rows = ask(gateway.layout.directory, "SELECT principal, rule, message, statement FROM denials")
    assert rows == [
        (
            "alice@acme.example",
            "review.rejected",
            "carol rejected this request: No.",
            "DELETE FROM shop.orders WHERE true",
        )
    ]
    [(jobs, failed)] = ask(gateway.layout.directory, "SELECT jobs, failed FROM session_overview")
    assert (jobs, failed) == (0, 0)
