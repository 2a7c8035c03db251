"""All that is recorded of one person is gone, to the byte; everybody else's is as it was; and all of it still verifies."""

import hashlib
import sqlite3

import pytest

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.errors import HeldError, NotInArchive
from hoop_mitm.identity.principal import Principal
from hoop_mitm.recording.retention import erase, place_hold, release_hold, trace
from hoop_mitm.recording.retention.erasing import NamesThePersonError
from hoop_mitm.recording.retention.persons import naming
from tests.recording.building import BASE, QUERY, ask, event, new_id
from tests.recording.retention.recorded import ISSUER, Recorded, ago, principal
from tests.recording.retention.searching import finds
from tests.recording.test_looks import looked

ALICE, BOB = "alice@acme.example", "bob@acme.example"
#: What would be said of Bob by anyone who reads the archive.
_OF_BOB = (
    "SELECT * EXCLUDE (groups) FROM sessions WHERE email = 'bob@acme.example' ORDER BY id",
    "SELECT * FROM jobs WHERE session_id IN (SELECT id FROM sessions WHERE email = 'bob@acme.example') ORDER BY key",
    "SELECT * FROM flows WHERE session_id IN (SELECT id FROM sessions WHERE email = 'bob@acme.example') ORDER BY id",
    "SELECT * FROM events WHERE email = 'bob@acme.example' ORDER BY id",
)


def erased(recorded: Recorded, who: str = ALICE, reason: str = "ticket 4711"):
    return erase(recorded.layout, recorded.keys, who, reason=reason, by="the test", progress=lambda _: None)


@pytest.fixture
def recorded(tmp_path) -> Recorded:
    made = Recorded(tmp_path)
    for name in ("alice", "bob"):
        made.job(name, age=20)
        made.failed(name, age=10)
        made.denied(name, age=5)
    return made


def test_nothing_of_them_is_left_and_everything_of_others(recorded, tmp_path):
    texts = [recorded.failed(age=3), recorded.denied(age=3), *vars_of(recorded.job(age=2))]
    recorded.refused_sign_in("alice", age=1)
    recorded.refused_sign_in("bob", age=1)
    recorded.fold()
    bobs = [ask(tmp_path, question) for question in _OF_BOB]
    for text in (*texts, ALICE, "subject-of-alice"):
        assert finds(tmp_path, text), "the search must be able to find what is there"

    done = erased(recorded)

    for text in (*texts, ALICE, "subject-of-alice", "alice"):
        assert finds(tmp_path, text) == set()
    assert [ask(tmp_path, question) for question in _OF_BOB] == bobs
    assert finds(tmp_path, "subject-of-bob")
    assert (done.traces.sessions, done.traces.events) == (1, 1)
    recorded.verified()


def vars_of(job):
    return job.body, job.statement, job.key.partition(":")[2]


def test_what_was_refused_before_there_was_a_session_is_theirs_where_an_event_says_so(recorded, tmp_path):
    hers, his = (recorded.refused_without_a_session(name, age=1) for name in ("alice", "bob"))
    recorded.fold()

    erased(recorded)

    assert finds(tmp_path, hers) == set()
    assert finds(tmp_path, his)
    recorded.verified()


def test_a_result_that_others_got_too_stays_theirs(recorded, tmp_path):
    sql, rows = "SELECT 'asked by both'", {"rows": "got by both"}
    for name in ("alice", "bob"):
        session = recorded.session(name, age=1)
        recorded.exchange(
            session,
            1,
            Operation(QUERY, "acme", statement=sql),
            url=f"{BASE}/queries",
            request={"query": sql},
            answer=rows,
        )
    recorded.fold()

    erased(recorded)

    assert any("bodies.data" in place for place in finds(tmp_path, "got by both"))
    assert ask(tmp_path, "SELECT count(*) FROM jobs WHERE statement = ?", sql) == [(1,)]
    recorded.verified()


def test_the_event_names_them_to_nobody_but_the_holder_of_the_receipt(recorded, tmp_path):
    done = erased(recorded.fold())

    [(message, details)] = ask(tmp_path, "SELECT message, details FROM events WHERE type = 'erasure.applied'")
    receipt = done.receipt
    assert receipt.commitment in details
    assert "ticket 4711" in details
    assert receipt.salt not in message + details
    assert finds(tmp_path, receipt.salt) == set()
    salted = b"hoop-mitm part 1\0principal\0" + bytes.fromhex(receipt.salt) + receipt.principal.encode()
    assert hashlib.sha256(salted).hexdigest() == receipt.commitment


@pytest.mark.parametrize("who", [ALICE, "Alice@ACME.example", f"{ISSUER}#subject-of-alice"])
def test_they_are_found_by_email_and_by_issuer_and_subject(recorded, tmp_path, who):
    recorded.fold()
    assert trace(recorded.layout, who).flows == 5
    assert trace(recorded.layout, who).keys == (f"{ISSUER}#subject-of-alice",)
    assert finds(tmp_path, ALICE)


@pytest.mark.parametrize(
    "who", ["carol@acme.example", "acme.example", "alice", "lice@acme.example", f"{ISSUER}#nobody", "%"]
)
def test_nobody_is_erased_whom_nothing_names(recorded, tmp_path, who):
    recorded.fold()
    before = recorded.archive.read_bytes()
    with pytest.raises(NotInArchive, match="Nothing is recorded"):
        erased(recorded, who)
    assert recorded.archive.read_bytes() == before


def test_a_second_time_there_is_nothing(recorded):
    erased(recorded.fold())
    with pytest.raises(NotInArchive):
        erased(recorded)


def test_a_hold_is_in_the_way_until_it_is_released(recorded, tmp_path):
    session = recorded.session("alice", age=20)
    recorded.fold()
    place_hold(recorded.layout, recorded.keys, session.id, "case 7", "the test")
    before = recorded.archive.read_bytes()

    with pytest.raises(HeldError, match=session.id):
        erased(recorded)
    assert recorded.archive.read_bytes() == before
    assert trace(recorded.layout, ALICE).held == (session.id,)

    release_hold(recorded.layout, recorded.keys, session.id, "", "the test")
    erased(recorded)
    assert finds(tmp_path, "alice") == set()
    recorded.verified()


def reviewed(recorded, session):
    return [event("review.approved", session_id=session.id, at=ago(1), principal=principal("bob"))]


def read(recorded, session):
    return looked(recorded.layout, at=ago(1), sessions=(session.id,), login=BOB)


def searched(recorded, session):
    """Of the two events of one note the one that tells what was looked for."""
    return looked(recorded.layout, at=ago(1), sessions=(session.id,), login=BOB, about="text='SELECT'")[1:]


@pytest.mark.parametrize("of_bob", [reviewed, read, searched])
def test_what_somebody_did_in_anothers_held_session_is_held(recorded, tmp_path, of_bob):
    of_alice, before = recorded.session("alice", age=20), recorded.session("bob", age=20)
    recorded.gateway.write(*of_bob(recorded, of_alice))
    recorded.fold()
    place_hold(recorded.layout, recorded.keys, of_alice.id, "case 7", "the test")
    as_it_was = recorded.archive.read_bytes()

    assert trace(recorded.layout, BOB).held == (of_alice.id,)
    with pytest.raises(HeldError, match=of_alice.id) as refused:
        erased(recorded, BOB)
    assert before.id not in str(refused.value)
    assert recorded.archive.read_bytes() == as_it_was

    release_hold(recorded.layout, recorded.keys, of_alice.id, "", "the test")
    erased(recorded, BOB)
    assert finds(tmp_path, BOB) == set()
    recorded.verified()


def test_who_looked_and_what_for_goes_with_the_reader(recorded, tmp_path):
    """Also where somebody else's session was looked at."""
    of_bob = recorded.session("bob", age=20)
    for number, sessions in enumerate([(of_bob.id,), ()]):
        said = {"command": "search", "sessions": sessions, "count": len(sessions), "about": f"text='hers-{number}'"}
        recorded.gateway.write(*looked(recorded.layout, at=ago(1), login=ALICE, **said))
    recorded.gateway.write(*looked(recorded.layout, at=ago(1), login=BOB, command="search", about="text='his'"))
    recorded.fold()
    assert finds(tmp_path, "hers-")

    done = erased(recorded)

    for text in ("hers-", ALICE):
        assert finds(tmp_path, text) == set()
    assert done.traces.events == 4
    left = ask(tmp_path, "SELECT type, details->>'login' FROM events WHERE type LIKE 'archive.%' ORDER BY seq")
    assert left == [("archive.read", BOB), ("archive.search", BOB)]
    recorded.verified()


def test_a_reader_without_an_address_goes_by_their_subject(recorded, tmp_path):
    """As whom they are signed in, is their subject then."""
    carol = Principal(ISSUER, "subject-of-carol", None, ())
    recorded.gateway.write(event(at=ago(2), message="Somebody came.", principal=carol))
    of_bob = recorded.session("bob", age=20)
    for number, login in enumerate(["subject-of-carol", "Subject-of-Carol", "not-the-subject-of-carol"]):
        said = {"sessions": (of_bob.id,), "count": 1, "login": login, "about": f"text='hers-{number}'"}
        recorded.gateway.write(*looked(recorded.layout, at=ago(1), **said))
    recorded.fold()
    for text in ("subject-of-carol", "hers-0", "hers-1"):
        assert finds(tmp_path, text)

    done = erased(recorded, f"{ISSUER}#subject-of-carol")

    for text in ('"subject-of-carol"', "Subject-of-Carol", f"{ISSUER}#subject-of-carol", "hers-0", "hers-1"):
        assert finds(tmp_path, text) == set()
    assert done.traces.events == 5
    left = ask(tmp_path, "SELECT type, details->>'login' FROM events WHERE type LIKE 'archive.%' ORDER BY seq")
    assert left == [("archive.read", "not-the-subject-of-carol"), ("archive.search", "not-the-subject-of-carol")]
    recorded.verified()


def test_a_reader_without_an_address_is_in_no_byte(recorded, tmp_path):
    recorded.gateway.write(event(at=ago(2), principal=Principal(ISSUER, "subject-of-carol", None, ())))
    recorded.gateway.write(*looked(recorded.layout, at=ago(1), login="subject-of-carol", about="text='hers'"))
    recorded.fold()
    assert finds(tmp_path, "subject-of-carol")

    erased(recorded, f"{ISSUER}#subject-of-carol")

    assert finds(tmp_path, "subject-of-carol") | finds(tmp_path, "hers") == set()
    recorded.verified()


@pytest.mark.parametrize("about", ["", "text='hers'"])
def test_what_a_gateway_took_in_twice_goes_twice(recorded, tmp_path, about):
    """It died between writing what a reader had left and removing it; the session that was looked at is somebody else's."""
    of_bob = recorded.session("bob", age=20)
    events = looked(recorded.layout, at=ago(1), login=ALICE, sessions=(of_bob.id,), count=1, about=about)
    recorded.gateway.write(*events)
    recorded.gateway.write(*events)
    recorded.fold()

    done = erased(recorded)

    assert finds(tmp_path, ALICE) == set()
    assert done.traces.elsewhere == 0
    recorded.verified()


def test_what_others_looked_for_goes_where_it_names_them_and_who_looked_stays(recorded, tmp_path):
    of_bob = recorded.session("bob", age=20)
    for sessions in ((of_bob.id,), ()):
        said = {"command": "search", "sessions": sessions, "count": len(sessions), "about": f"text='{ALICE}'"}
        recorded.gateway.write(*looked(recorded.layout, at=ago(1), login=BOB, **said))
    recorded.fold()

    done = erased(recorded)

    assert finds(tmp_path, ALICE) == set()
    assert (done.traces.events, done.traces.elsewhere) == (2, 0)
    left = ask(tmp_path, "SELECT type, details->>'login' FROM events WHERE type LIKE 'archive.%' ORDER BY seq")
    assert left == [("archive.read", BOB)] * 2
    recorded.verified()


def test_what_others_decided_on_their_requests_is_theirs_also_without_a_session(recorded, tmp_path):
    told = {"type_": "review.rejected", "session_id": new_id(), "at": ago(1), "message": "It was rejected."}
    for name, by in (("alice", "bob"), ("bob", "alice")):
        details = {"requester": f"{name}@acme.example", "job": f"job-of-{name}"}
        recorded.gateway.write(event(**told, principal=principal(by), details=details))
    recorded.gateway.write(event(**told, principal=principal("carol"), details={"requester": BOB, "job": "by-carol"}))
    recorded.fold()

    erased(recorded)

    assert finds(tmp_path, "alice") == set()
    # What she decided on others' requests is hers as well.
    assert ask(tmp_path, "SELECT details->>'job' FROM events WHERE type = 'review.rejected'") == [("by-carol",)]
    recorded.verified()


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("ticket 4711", False),
        ("", False),
        ("alice@acme.example asked", True),
        ("ALICE@ACME.EXAMPLE", True),
        ("subject-of-alice asked", True),
        ("asked by alice@acme.example.", True),
    ],
)
def test_the_reason_does_not_name_them(recorded, reason, refused):
    recorded.fold()
    if refused:
        with pytest.raises(NamesThePersonError, match="names them"):
            erased(recorded, reason=reason)
    else:
        assert erased(recorded, reason=reason).rewritten


def test_what_others_say_of_them_stays_and_is_counted(recorded, tmp_path):
    session = recorded.session("bob", age=1)
    sql = f"SELECT * FROM people WHERE email = '{ALICE}'"
    recorded.exchange(
        session,
        1,
        Operation(QUERY, "acme", statement=sql),
        url=f"{BASE}/queries",
        request={"query": sql},
        answer={"rows": []},
    )
    recorded.fold()

    done = erased(recorded)

    assert done.traces.elsewhere == 1
    assert ask(tmp_path, "SELECT count(*) FROM jobs WHERE statement = ?", sql) == [(1,)]
    recorded.verified()


def test_whose_jobs_are_theirs_is_forgotten(recorded):
    recorded.fold()
    erased(recorded)
    with sqlite3.connect(recorded.layout.owners) as connection:
        assert connection.execute("SELECT DISTINCT principal FROM owners").fetchall() == [(f"{ISSUER}#subject-of-bob",)]


def test_whose_jobs_are_theirs_is_forgotten_also_where_nothing_was_recorded(recorded, tmp_path):
    quiet = recorded.session("alice", age=1)
    recorded.fold()
    again = Recorded(tmp_path)
    # Of a connection that is off there is a claim, and no record.
    again.gateway.write(event(at=ago(1), message="Something else."))
    again.claim(quiet, "job-of-a-connection-that-is-off")
    again.fold()
    assert any(place.startswith("journal/0") for place in finds(tmp_path, "subject-of-alice"))

    erased(again)

    assert finds(tmp_path, "subject-of-alice") == set()
    assert finds(tmp_path, "subject-of-bob")
    again.verified()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("the token of alice@acme.example has expired", True),
        ("alice@acme.example", True),
        ('{"who":"alice@acme.example"}', True),
        ("it was alice@acme.example.", True),
        ("<alice@acme.example>, and others", True),
        ("malice@acme.example", False),
        ("not.alice@acme.example", False),
        ("alice@acme.example.org", False),
        ("alice@acme.examples", False),
        ("alice@acmexexample", False),
        ("alice@acme.example-corp.com", False),
    ],
)
def test_an_address_is_found_as_a_whole(text, names):
    import duckdb

    question = "SELECT regexp_matches(lower(?), ?)"
    assert duckdb.execute(question, [text, naming(["Alice@acme.example"])]).fetchone() == (names,)
