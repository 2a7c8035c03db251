"""What is older than it is kept is gone, to the byte; what is younger is as it was; and the recording is still evidence."""

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.errors import RecordingError
from hoop_mitm.recording import fold
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention import apply, look, remove_copies
from tests.archive.building import Builder, columns
from tests.recording.building import BASE, QUERY, RESULTS, ask, ask_one, event, intent
from tests.recording.folding import keys
from tests.recording.retention.recorded import Recorded, ago, cutoff, cutoffs, principal
from tests.recording.retention.searching import finds
from tests.recording.test_looks import looked
from tests.waiting import until

#: Days that each class is kept.
KEPT = cutoffs(acme=cutoff(30, 180, 400))


@pytest.mark.parametrize(
    ("age", "body", "statement", "record"),
    [
        (1, True, True, True),
        pytest.param(29.9, True, True, True, marks=pytest.mark.exhaustive),
        (30.1, False, True, True),
        pytest.param(179.9, False, True, True, marks=pytest.mark.exhaustive),
        (180.1, False, False, True),
        pytest.param(399.9, False, False, True, marks=pytest.mark.exhaustive),
        (400.1, False, False, False),
    ],
)
def test_each_class_goes_when_it_is_due(tmp_path, age, body, statement, record):
    recorded = Recorded(tmp_path)
    job = recorded.job(age=age)
    quoted, denied = recorded.failed(age=age), recorded.denied(age=age)
    recorded.fold()
    for text in (job.body, job.statement, quoted, denied):
        assert finds(tmp_path, text), "the search must be able to find what is there"

    recorded.apply(KEPT)

    assert bool(finds(tmp_path, job.body)) is body
    assert bool(finds(tmp_path, job.statement)) is statement
    assert bool(finds(tmp_path, quoted)) is statement
    assert bool(finds(tmp_path, denied)) is statement
    assert bool(finds(tmp_path, "alice@acme.example")) is record
    assert bool(ask(tmp_path, "FROM flows")) is record
    assert bool(ask(tmp_path, "FROM jobs")) is record
    assert bool(ask(tmp_path, "FROM sessions")) is record
    recorded.verified()


def test_an_event_that_may_quote_a_statement_loses_its_text_with_the_statement(tmp_path):
    recorded = Recorded(tmp_path)
    quoted = recorded.refused_without_a_session("alice", age=200)
    recorded.refused_sign_in("bob", age=200)
    recorded.fold()
    assert finds(tmp_path, quoted)

    recorded.apply(cutoffs(other=cutoff(30, 180, 400)))

    assert finds(tmp_path, quoted) == set()
    told = ask(tmp_path, "SELECT type, message <> '', details FROM events WHERE chain NOT LIKE 'kept-%' ORDER BY type")
    assert told == [("identity.refused", True, "{}"), ("request.refused", False, "{}")]
    recorded.verified()


@pytest.mark.parametrize(
    ("type_", "message", "details", "goes"),
    [
        ("review.approved", "A reviewer approved; it may run.", {"message": "{}"}, True),
        ("review.rejected", "bob@acme.example rejected this request: {}.", {"message": "{}"}, True),
        # Nobody's words.
        ("review.approved", "A reviewer approved; it may run.", {"message": "", "job": "job-7"}, False),
        ("review.requested", "A request waits for a review.", {"job": "job-7"}, False),
    ],
)
def test_an_event_with_somebodys_words_loses_them_with_the_statement(tmp_path, type_, message, details, goes):
    recorded = Recorded(tmp_path)
    words = f"DELETE FROM {secrets.token_hex(12)}"
    session = recorded.session("alice", age=200)
    recorded.job(age=200)
    told = event(
        type_,
        at=ago(200),
        message=message.format(words),
        session_id=session.id,
        principal=principal("bob"),
        details={name: value.format(words) for name, value in details.items()},
    )
    recorded.gateway.write(told)
    recorded.fold()
    assert bool(finds(tmp_path, words)) is goes

    recorded.apply(KEPT)

    assert finds(tmp_path, words) == set()
    [(left, kept, email)] = ask(tmp_path, "SELECT message <> '', details, email FROM events WHERE type = ?", type_)
    # Who did it, and in which session, is kept as long as metadata is.
    assert (left, kept == "{}", email) == (not goes, goes, "bob@acme.example")
    recorded.verified()


@pytest.mark.parametrize("searched", [True, False], ids=["search", "show"])
def test_what_a_reader_looked_for_goes_with_the_statement_and_who_looked_stays(tmp_path, searched):
    recorded = Recorded(tmp_path)
    words = f"DELETE FROM {secrets.token_hex(12)}"
    session = recorded.session("alice", age=200)
    recorded.job(age=200)
    about = f"text='{words}'" if searched else ""
    command = "search" if searched else "show"
    said = {"command": command, "sessions": (session.id,), "login": "bob@acme.example", "about": about}
    # As the gateway makes them of a note: they have no principal.
    read, *rest = looked(recorded.layout, at=ago(200), **said)
    recorded.gateway.write(read, *rest)
    recorded.fold()
    assert bool(finds(tmp_path, words)) is searched

    recorded.apply(KEPT)

    assert finds(tmp_path, words) == set()
    told = "SELECT type, message, session_id, details FROM events WHERE type LIKE 'archive.%' ORDER BY seq"
    (type_, message, session_id, details), *emptied = ask(tmp_path, told)
    assert (type_, message, session_id) == ("archive.read", read.message, session.id)
    assert json.loads(details) == read.details
    assert {"user", "uid", "command", "sessions", "login"} <= read.details.keys()
    # That something was looked for there stays, too.
    assert emptied == [("archive.search", "", session.id, "{}")] * searched
    recorded.verified()


def test_what_a_reader_looked_for_goes_also_where_one_event_told_all(tmp_path):
    """As it was before there was ``archive.search``."""
    recorded = Recorded(tmp_path)
    words = f"DELETE FROM {secrets.token_hex(12)}"
    session = recorded.session("alice", age=200)
    recorded.job(age=200)
    message = "bob looked at 1 session with `hoop-mitm search`."
    told = {"type_": "archive.read", "at": ago(200), "session_id": session.id, "message": message}
    recorded.gateway.write(event(**told, details={"user": "bob", "about": words}))
    recorded.gateway.write(event(**told, details={"user": "bob", "about": ""}))
    recorded.fold()
    assert finds(tmp_path, words)

    recorded.apply(KEPT)

    assert finds(tmp_path, words) == set()
    left = ask(
        tmp_path, "SELECT message, details <> '{}', session_id FROM events WHERE type = 'archive.read' ORDER BY seq"
    )
    assert left == [("", False, session.id), (message, True, session.id)]
    recorded.verified()


def test_what_is_left_of_a_job_is_what_its_remaining_records_tell(tmp_path):
    recorded = Recorded(tmp_path)
    young, old, older = (recorded.job(age=age, session=str(age)) for age in (1, 100, 200))
    recorded.fold()
    before = {key: ask_one(tmp_path, "FROM jobs WHERE key = ?", key) for key in (young.key, old.key, older.key)}

    recorded.apply(KEPT)

    after = {key: ask_one(tmp_path, "FROM jobs WHERE key = ?", key) for key in (young.key, old.key, older.key)}
    assert after[young.key] == before[young.key]
    assert after[old.key] == before[old.key]
    changed = {name for name, value in after[older.key].items() if value != before[older.key][name]}
    # Which tables it read was known from the statement alone.
    assert changed == {"statement", "fingerprint", "schema", "labels", "tables_from"}
    assert after[older.key]["statement_type"] == "SELECT"
    assert after[older.key]["bytes_billed"] == 1048576


def test_each_connection_keeps_its_own_time_and_others_the_common_one(tmp_path):
    recorded = Recorded(tmp_path)
    jobs = {name: recorded.job(age=50, connection=name) for name in ("short", "long", "gone")}
    recorded.refused_sign_in("bob", age=50)
    recorded.fold()

    recorded.apply(cutoffs(short=cutoff(10), long=cutoff(100), other=cutoff(20, 40, 45)))

    left = {name: (bool(finds(tmp_path, job.body)), bool(finds(tmp_path, job.statement))) for name, job in jobs.items()}
    # A connection that is no longer in hoop.yaml, and what belongs to none.
    assert left == {"short": (False, True), "long": (True, True), "gone": (False, False)}
    assert finds(tmp_path, "bob@acme.example") == set()
    recorded.verified()


def test_nothing_is_touched_when_nothing_is_due(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=5)
    recorded.fold()
    before = recorded.archive.stat()

    applied = recorded.apply(KEPT)

    assert (applied.plan.empty, applied.plan.shares, applied.rewritten) == (True, (), None)
    assert (recorded.archive.stat().st_ino, recorded.archive.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert ask(tmp_path, "FROM events WHERE type = 'retention.applied'") == []


def test_what_would_go_is_what_goes(tmp_path):
    recorded = Recorded(tmp_path)
    for age in (1, 100, 200, 500):
        recorded.job(age=age, session=str(age))
    recorded.failed(age=500)
    recorded.fold()

    planned = look(recorded.layout, KEPT)
    applied = recorded.apply(KEPT)

    assert planned == applied.plan
    counts = {share.what: (share.flows, share.jobs, share.sessions, share.bodies) for share in planned.shares}
    assert counts == {"bodies": (6, 0, 0, 8), "statements": (3, 1, 0, 0), "metadata": (4, 2, 2, 6)}
    [share] = [share for share in planned.shares if share.what == "bodies"]
    assert (share.oldest, share.newest) == (ago(200.001), ago(100))
    assert look(recorded.layout, KEPT).empty


def test_a_second_time_takes_what_has_become_due(tmp_path):
    recorded = Recorded(tmp_path)
    job = recorded.job(age=100)
    recorded.fold()
    for keep in (cutoff(30), cutoff(30, 60), cutoff(30, 60, 90)):
        recorded.apply(cutoffs(acme=keep))
        recorded.verified()

    assert finds(tmp_path, job.body) | finds(tmp_path, job.statement) | finds(tmp_path, "alice@acme.example") == set()
    assert ask(tmp_path, "SELECT count(*) FROM observations") == [(0,)]
    taken = ask(tmp_path, "SELECT event_seq, list(DISTINCT part ORDER BY part) FROM removals GROUP BY ALL ORDER BY 1")
    assert [parts for _, parts in taken] == [["request_body", "response_body"], ["statement"], ["record"]]


def test_a_body_that_several_share_goes_with_the_last_of_them(tmp_path):
    recorded = Recorded(tmp_path)
    sql = "SELECT 'the same for both'"
    for age in (50, 10):
        session = recorded.session("alice", age=age, session=str(age))
        recorded.exchange(
            session,
            age,
            Operation(QUERY, "acme", statement=sql),
            url=f"{BASE}/queries",
            request={"query": sql},
            answer={"a": 1},
        )
    recorded.fold()
    hashes = "SELECT count(DISTINCT hash) FROM bodies"
    assert ask(tmp_path, hashes) == [(2,)]

    assert recorded.apply(cutoffs(acme=cutoff(30))).rewritten is None
    assert ask(tmp_path, hashes) == [(2,)]

    recorded.apply(cutoffs(acme=cutoff(5)))
    assert ask(tmp_path, hashes) == [(0,)]
    recorded.verified()


def test_the_space_is_given_back(tmp_path):
    recorded = Recorded(tmp_path)
    session = recorded.session("alice", age=50)
    for _ in range(8):
        recorded.exchange(
            session, 50, Operation(RESULTS, "acme"), url=f"{BASE}/queries/j", answer={"rows": secrets.token_hex(2**21)}
        )
    recorded.fold()

    rewritten = recorded.apply(KEPT).rewritten

    assert rewritten.size_before > 16 * 2**20
    assert rewritten.size_after < rewritten.size_before - 15 * 2**20
    assert recorded.archive.stat().st_size == rewritten.size_after


def test_views_macros_comments_and_permissions_are_as_they_were(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=50)
    recorded.fold()
    with duckdb.connect(recorded.archive) as connection:
        connection.execute("CREATE OR REPLACE MACRO usd_per_tib() AS 7.5")
    recorded.archive.chmod(0o640)
    questions = (
        "SELECT view_name, sql, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1",
        "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
        "SELECT table_name, comment FROM duckdb_tables() ORDER BY 1",
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal ORDER BY 1",
        "FROM archive",
        "FROM journals",
    )
    before = [ask(tmp_path, question) for question in questions]

    recorded.apply(KEPT)

    assert [ask(tmp_path, question) for question in questions] == before
    assert before[3] == [("usd_per_tib", "7.5")]
    assert recorded.archive.stat().st_mode & 0o777 == 0o640


def test_a_reader_reads_on_in_what_it_has_open(tmp_path):
    recorded = Recorded(tmp_path)
    job = recorded.job(age=50)
    recorded.fold()
    with duckdb.connect(recorded.archive, read_only=True) as reader:
        done = subprocess.run([sys.executable, "-m", "tests.recording.retention.applied", tmp_path, "30"], check=False)
        assert done.returncode == 0
        assert reader.execute("SELECT count(*) FROM bodies").fetchone() != (0,)

    assert finds(tmp_path, job.body) == set()
    recorded.verified()


def test_the_next_gateway_goes_on_in_the_same_chain(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=50)
    recorded.fold().apply(KEPT)

    again = Recorded(tmp_path)
    young = again.job(age=0)
    again.fold()

    assert finds(tmp_path, young.body)
    report = again.verified()
    assert sorted(chain.origin for chain in report.chains) == ["archive", "gateway"]
    assert not report.notes


def test_the_journal_forgets_what_the_archive_forgets(tmp_path):
    recorded = Recorded(tmp_path)
    job = recorded.job(age=50)
    recorded.fold()
    assert any(place.startswith("journal/") for place in finds(tmp_path, job.body))
    recorded.layout.fold_log.write_text(f"could not convert {job.body}\n")

    applied = recorded.apply(KEPT)

    assert applied.rewritten.segments == 1
    assert finds(tmp_path, job.body) == set()
    # Whose job it is stays known.
    assert finds(tmp_path, "subject-of-alice")


def test_older_copies_are_named_and_removed_only_when_asked(tmp_path):
    recorded = Recorded(tmp_path)
    job = recorded.job(age=50)
    recorded.fold()
    copies = [tmp_path / "hoop.duckdb.v1-backup", tmp_path / "journal" / "0000000000000001.damaged"]
    for copy in copies:
        shutil.copy(recorded.archive, copy)

    applied = recorded.apply(KEPT)

    assert [copy.path for copy in applied.copies] == copies
    assert finds(tmp_path, job.body)
    remove_copies(applied.copies)
    assert finds(tmp_path, job.body) == set()


def test_an_exchange_that_goes_on_is_not_old(tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "YOUNG", 0.0)
    recorded = Recorded(tmp_path)
    session = recorded.session("alice", age=50)
    open_for_long = intent(request={"query": "SELECT 1"}, statement="SELECT 1", session=session, started_at=ago(50))
    recorded.gateway.write(open_for_long)
    fold_once(tmp_path)
    assert ask(tmp_path, "SELECT state FROM flows") == [("open",)]

    assert look(recorded.layout, cutoffs(acme=cutoff(1, 1, 1))).empty
    recorded.gateway.die()


def test_what_was_recorded_before_there_were_chains_goes_too(tmp_path):
    body, statement = "row-from-before-the-chain", "text-from-before-the-chain"
    builder = Builder(tmp_path / "hoop.duckdb")
    for age in (1, 50, 100, 200):
        session = builder.session(at=ago(age), ended=60)
        builder.asked(session, f"SELECT '{statement}-{age}'", columns(x="STRING"), [(f"{body}-{age}",)], at=ago(age))
        builder.event(session, "session.ended", f"It ended {age} days ago.", at=ago(age))
    builder.write()

    apply(Layout(tmp_path), keys(), cutoffs(acme=cutoff(30, 60, 150)), "the test", lambda _: None)

    left = {age: [bool(finds(tmp_path, f"{text}-{age}")) for text in (body, statement)] for age in (1, 50, 100, 200)}
    assert left == {1: [True, True], 50: [False, True], 100: [False, False], 200: [False, False]}
    assert [rows for (rows,) in ask(tmp_path, "SELECT count(*) FROM events WHERE type = 'session.ended'")] == [3]
    assert ask(tmp_path, "SELECT count(*), count(statement), count(fingerprint), count(schema) FROM jobs") == [
        (3, 2, 0, 2)
    ]
    assert ask(tmp_path, "SELECT count(*) FROM sessions") == [(3,)]


def test_it_is_signed_with_the_key_that_the_recording_is_signed_with(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=50)
    recorded.fold()
    # A new key, which the gateway has not taken up yet.
    apply(recorded.layout, keys(b"k", b"n"), KEPT, "the test", lambda _: None)
    recorded.verified()


def test_without_the_key_nothing_is_deleted(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=50)
    recorded.fold()
    before = recorded.archive.read_bytes()
    with pytest.raises(RecordingError, match="not among the gateway's"):
        apply(recorded.layout, keys(b"n"), KEPT, "the test", lambda _: None)
    assert recorded.archive.read_bytes() == before


def test_what_a_killed_gateway_left_of_a_stream_goes_with_its_exchange(tmp_path):
    recorded = Recorded(tmp_path)
    session = recorded.session("alice", age=50)
    begun = intent(request={"query": "SELECT 1"}, statement="SELECT 1", session=session, started_at=ago(50))
    young = intent(request={"query": "SELECT 2"}, statement="SELECT 2", session=session, started_at=ago(1))
    recorded.gateway.write(begun, young)
    for flow in (begun, young):
        (recorded.layout.spool / f"{flow.id}.response").write_text(f"streamed by {flow.id}")
        (recorded.layout.bodies / f"0000000000000009-1-{flow.id}.response").write_text(f"pressed of {flow.id}")
    recorded.fold()

    recorded.apply(KEPT)

    assert finds(tmp_path, f"by {begun.id}") | finds(tmp_path, f"of {begun.id}") == set()
    assert finds(tmp_path, f"by {young.id}")
    assert finds(tmp_path, f"of {young.id}")
    recorded.verified()


@contextlib.contextmanager
def rotating(recorded: Recorded, then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The gateway begins a new segment when it is asked to, as its recorder does, and does ``then``."""
    rotate = recorded.layout.rotate

    def watch() -> None:
        until(rotate.exists)
        recorded.gateway.journal.open()
        # Who asks may have seen the new segment by now, and taken the question back.
        rotate.unlink(missing_ok=True)
        then()

    with ThreadPoolExecutor(1) as gateway:
        done = gateway.submit(watch)
        yield
        done.result()


def test_an_intent_that_waits_for_its_answer_holds_up_nothing(tmp_path):
    recorded = Recorded(tmp_path)
    job = recorded.job(age=50)

    def goes_on() -> None:
        recorded.gateway.write(intent(request={"query": "SELECT 1"}, statement="SELECT 1"))

    with rotating(recorded, goes_on):
        recorded.apply(KEPT)

    assert finds(tmp_path, job.body) == set()
    recorded.gateway.die()


def test_twice_in_a_row_beside_a_gateway_that_has_nothing_to_do(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=50)
    with rotating(recorded):
        assert recorded.apply(KEPT).rewritten
    # The newest segment is empty: the gateway cannot begin another one, and need not.
    assert recorded.apply(KEPT).rewritten is None
    recorded.gateway.die()


def test_what_is_said_to_be_gone_is_gone_and_nothing_else(tmp_path):
    """A range that went over what is still there would hide it, should somebody take it."""
    recorded = Recorded(tmp_path)
    for number, age in enumerate((200, 10, 200, 50, 200, 500, 10, 500)):
        recorded.job(age=age, session=str(number))
        recorded.refused_without_a_session("alice", age=age)
        recorded.refused_sign_in("bob", age=age)
    recorded.fold()
    keep = cutoff(30, 180, 400)
    recorded.apply(cutoffs(acme=keep, other=keep))

    there = {
        "record": "data IS NOT NULL",
        "statement": "statement_salt IS NOT NULL",
        "exchange": "exchange_salt IS NOT NULL",
        "request_body": "unhex(data->>'$.request.body.hash') IN (SELECT hash FROM bodies)",
        "response_body": "unhex(data->>'$.response.body.hash') IN (SELECT hash FROM bodies)",
    }
    taken = ask(tmp_path, "SELECT DISTINCT part FROM removals ORDER BY 1")
    assert {part for (part,) in taken} == set(there)
    for part, condition in there.items():
        still = ask(
            tmp_path,
            "SELECT records.chain, seq FROM records JOIN removals ON target_chain = records.chain AND seq BETWEEN first_seq AND last_seq "
            f"WHERE part = '{part}' AND {condition}",
        )
        assert still == [], part
    recorded.verified()


def test_short_texts_that_duckdb_packs_together_are_gone_too(tmp_path):
    """It keeps them in dictionaries and packed in other ways, so that they do not stand in the bytes as they are."""
    short = "Qz7Jw"
    recorded = Recorded(tmp_path)
    session = recorded.session("alice", age=50)
    for number in range(300):
        operation = Operation(QUERY, "acme", statement=f"SELECT '{short}', {number}", labels={"about": short})
        answer = {"error": {"code": 400, "message": f"{short} {number % 7}", "errors": [{"reason": "invalidQuery"}]}}
        recorded.exchange(
            session, 50, operation, url=f"{BASE}/queries", request={"query": short * 3}, answer=answer, status=400
        )
    young = recorded.job(age=1)
    recorded.fold()
    before = finds(tmp_path, short)
    assert {"hoop.duckdb jobs.statement", "hoop.duckdb jobs.error", "hoop.duckdb records.statement"} <= before
    assert any("bodies.data" in place for place in before)

    recorded.apply(cutoffs(acme=cutoff(30, 40)))

    assert finds(tmp_path, short) == set()
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT error) FROM jobs WHERE error = 'deleted by retention'") == [
        (300, 1)
    ]
    assert finds(tmp_path, young.statement)
    recorded.verified()
