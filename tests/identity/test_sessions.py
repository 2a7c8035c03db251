"""Requests find their session; nobody gets into another's."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import Identified, Principal, Sessions
from hoop_mitm.identity import sessions as module

ALICE = Identified(Principal("https://sso.example.com", "u1", "alice@example.com"), expires_at=9e9)
BOB = Identified(Principal("https://sso.example.com", "u2", "bob@example.com"), expires_at=9e9)
ID = "0193e4a0-1111-7000-8000-00000000000a"


def named(who: Identified, session_id: str = ID, connection: str = "acme", name: str | None = "run") -> Identified:
    return replace(who, session_id=session_id, connection=connection, session_name=name)


@pytest.fixture
def sessions(clock):
    return Sessions(timedelta(minutes=30), clock)


def resolve(sessions, who, connection="acme", agent="python", address="127.0.0.1"):
    return sessions.resolve(who, connection, agent, address)


def reason(sessions, who, connection="acme"):
    with pytest.raises(IdentityError) as caught:
        resolve(sessions, who, connection)
    return caught.value.reason


def test_the_first_request_opens_a_session_and_the_next_belongs_to_it(sessions, clock):
    session, new = resolve(sessions, ALICE)
    assert new
    assert (session.principal, session.connection, session.agent) == (ALICE.principal, "acme", "python")
    assert session.name == "alice-python"
    assert session.started_at.timestamp() == pytest.approx(clock(), abs=2)
    assert session.started_at.utcoffset() == timedelta(0)
    assert resolve(sessions, ALICE) == (session, False)


@pytest.mark.parametrize(
    "other",
    [
        {"who": BOB},
        {"connection": "own"},
        {"agent": "bq"},
        {"address": "127.0.0.2"},
        {"who": named(ALICE)},
        {"who": replace(ALICE, principal=replace(ALICE.principal, issuer="https://other.example.com"))},
        {"who": replace(ALICE, principal=replace(ALICE.principal, subject="u3"))},
    ],
)
def test_what_differs_is_another_session(sessions, other):
    session, _ = resolve(sessions, ALICE)
    another, new = resolve(sessions, **{"who": ALICE} | other)
    assert new
    assert another.id != session.id


def test_a_new_token_or_other_groups_stay_in_the_session(sessions):
    session, _ = resolve(sessions, ALICE)
    refreshed = replace(ALICE, expires_at=9.1e9, principal=replace(ALICE.principal, groups=("new",)))
    assert resolve(sessions, refreshed) == (session, False)


def test_an_idle_gap_ends_a_session(sessions, clock):
    session, _ = resolve(sessions, ALICE)
    clock.advance(29 * 60)
    assert resolve(sessions, ALICE) == (session, False)
    clock.advance(31 * 60)
    later, new = resolve(sessions, ALICE)
    assert new
    assert later.id != session.id
    assert sessions.expired() == [session]
    assert sessions.all() == [later]


def test_expired_tells_each_session_once(sessions, clock):
    first, second = resolve(sessions, ALICE)[0], resolve(sessions, named(BOB))[0]
    assert sessions.expired() == []
    clock.advance(1801)
    assert sessions.expired() == [first, second]
    assert sessions.expired() == []
    assert sessions.all() == []


def test_a_named_session_takes_in_all_programs_of_its_principal(sessions):
    session, new = resolve(sessions, named(ALICE))
    assert (session.id, session.name, new) == (ID, "run", True)
    assert resolve(sessions, named(ALICE), agent="bq", address="10.0.0.1") == (session, False)


def test_a_named_session_outlasts_a_gap_and_is_opened_again_as_it_was(sessions, clock):
    session, _ = resolve(sessions, named(ALICE))
    clock.advance(3600)
    assert resolve(sessions, named(ALICE)) == (session, False), "nobody has said yet that it ended"
    clock.advance(3600)
    assert sessions.expired() == [session]
    assert resolve(sessions, named(ALICE, name="other"), agent="bq") == (session, True)


def test_nobody_gets_into_anothers_session_open_or_ended(sessions, clock):
    resolve(sessions, named(ALICE))
    assert reason(sessions, named(BOB)) == "foreign_session"
    clock.advance(3600)
    sessions.expired()
    assert reason(sessions, named(BOB)) == "foreign_session"


def test_nobody_gets_into_anothers_session_that_had_no_name(sessions):
    session, _ = resolve(sessions, ALICE)
    assert reason(sessions, named(BOB, session.id)) == "foreign_session"


def test_the_same_subject_of_another_issuer_is_somebody_else(sessions):
    resolve(sessions, named(ALICE))
    twin = replace(ALICE, principal=replace(ALICE.principal, issuer="https://other.example.com"))
    assert reason(sessions, named(twin)) == "foreign_session"


def test_a_claim_holds_before_the_first_request_and_after_a_restart(sessions):
    sessions.claim(ID, ALICE.principal, "acme")
    assert reason(sessions, named(BOB)) == "foreign_session"
    assert resolve(sessions, named(ALICE))[1]


def test_a_session_has_one_connection(sessions):
    resolve(sessions, named(ALICE))
    assert reason(sessions, named(ALICE), connection="own") == "wrong_connection"
    assert reason(sessions, named(ALICE, connection="own"), connection="own") == "wrong_connection"
    with pytest.raises(IdentityError):
        sessions.claim(ID, ALICE.principal, "own")


def test_a_token_for_one_connection_opens_no_session_on_another(sessions):
    assert reason(sessions, replace(ALICE, connection="acme"), connection="own") == "wrong_connection"
    assert sessions.all() == []


def test_making_many_sessions_pushes_out_only_ones_own(sessions, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 5)
    sessions.claim(ID, ALICE.principal, "acme")
    for number in range(50):
        sessions.claim(f"{number:08d}-0000-7000-8000-000000000000", BOB.principal, "acme")
    assert reason(sessions, named(BOB)) == "foreign_session"
    assert len(sessions._claims) == 6


def test_even_a_forgotten_claim_does_not_open_a_session_that_is_open(sessions, monkeypatch):
    resolve(sessions, named(ALICE))
    monkeypatch.setattr(module, "REMEMBERED", 0)
    sessions.claim("00000000-0000-7000-8000-000000000000", ALICE.principal, "acme")
    monkeypatch.setattr(module, "REMEMBERED", 5)
    assert ID not in sessions._claims
    assert reason(sessions, named(BOB)) == "foreign_session"


def test_a_principal_without_an_email_names_its_sessions_by_subject(sessions):
    machine = Identified(Principal("https://ci.example.com", "repo:acme/reports", kind="machine"), expires_at=9e9)
    assert resolve(sessions, machine, agent="bq")[0].name == "repo:acme/reports-bq"
