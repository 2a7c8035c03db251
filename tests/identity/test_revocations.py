"""Which tokens a revocation covers, row by row; and that it is durable, shared, and never lost by halves."""

import json
import sys
import threading
from dataclasses import replace

import pytest

from hoop_mitm.errors import ConfigError, IdentityError
from hoop_mitm.identity import Identified, Principal, Revocations
from hoop_mitm.identity.revocations import FILE, SKEW, of_logout, of_principal, of_session

ALICE = Principal("https://sso", "a1", "alice@acme.example")
BOB = Principal("https://sso", "b1", "bob@acme.example")
AT = 1_000_000.0


def oidc(principal=ALICE, *, issued, authenticated=None):
    return Identified(principal, AT + 3600, signed_in_at=issued, authenticated_at=authenticated)


def session(principal=ALICE, *, issued, login, **more):
    return Identified(principal, AT + 3600, issued_at=issued, signed_in_at=login, connection="acme", **more)


@pytest.fixture
def revocations(tmp_path):
    ticks = iter(range(10**6))
    return Revocations(tmp_path, lambda: float(next(ticks)))


def refused(revocations, identified):
    try:
        revocations.check(identified)
    except IdentityError as error:
        return error.reason == "revoked"
    return False


PRINCIPAL = [
    # what is shown, refused
    ("a login of before", oidc(issued=AT - 1), True),
    ("one of the same moment", oidc(issued=AT), True),
    ("one of before, by a clock that is ahead", oidc(issued=AT + SKEW), True),
    ("one of after that", oidc(issued=AT + SKEW + 1), False),
    ("a renewal of an old one", oidc(issued=AT + 3000, authenticated=AT - 9000), True),
    ("a new sign-in", oidc(issued=AT + 3000, authenticated=AT + 2999), False),
    ("a session of before", session(issued=AT - 1, login=AT - 100), True),
    ("a session traded since for an old login", session(issued=AT + 500, login=AT - 100), True),
    ("a session of a new login", session(issued=AT + 500, login=AT + 400), False),
    ("somebody else's", oidc(BOB, issued=AT - 1), False),
    (
        "the same subject of another issuer",
        oidc(replace(ALICE, issuer="https://other", email=None), issued=AT - 1),
        False,
    ),
    ("without the e-mail", oidc(replace(ALICE, email=None), issued=AT - 1), True),
    ("of a gateway that did not note the login", Identified(ALICE, AT + 3600), True),
]


@pytest.mark.parametrize(("shown", "is_refused"), [row[1:] for row in PRINCIPAL], ids=[row[0] for row in PRINCIPAL])
def test_of_a_principal(revocations, shown, is_refused):
    revocations.add(of_principal(ALICE.key, "root", clock=lambda: AT))
    assert refused(revocations, shown) is is_refused


@pytest.mark.parametrize("name", ["alice@acme.example", "Alice@ACME.example", "a1", "https://sso#a1"])
def test_a_principal_by_any_of_its_names(revocations, name):
    revocations.add(of_principal(name, "root", clock=lambda: AT))
    assert refused(revocations, oidc(issued=AT))
    assert not refused(revocations, oidc(BOB, issued=AT))


def test_of_a_session(revocations):
    revocations.add(of_session("s1", "root", clock=lambda: AT))
    assert refused(revocations, session(issued=AT + 900, login=AT + 900, session_id="s1")), "also after a new login"
    assert not refused(revocations, session(issued=AT - 1, login=AT - 1, session_id="s2"))
    assert not refused(revocations, oidc(issued=AT - 1))


def test_of_a_session_without_a_name_by_what_it_came_from(revocations):
    from types import SimpleNamespace

    recorded = SimpleNamespace(principal=ALICE, connection="acme", agent="bq", client_address="::1")
    revocations.add(of_session("s1", "root", recorded, clock=lambda: AT))

    def at(identified, connection="acme", agent="bq", address="::1"):
        try:
            revocations.check_unnamed(identified, connection, agent, address)
        except IdentityError:
            return True
        return False

    old, new = session(issued=AT - 1, login=AT - 1), session(issued=AT + 500, login=AT + 500)
    assert [at(old), at(new), at(old, agent="python"), at(old, address="::2"), at(session(BOB, issued=0, login=0))] == [
        True, False, False, False, False,
    ]  # fmt: skip


LOGOUT = [
    ("the login itself", oidc(issued=AT - 50), True),
    ("an older one", oidc(issued=AT - 900), True),
    ("the next one, a second later", oidc(issued=AT - 49, authenticated=AT - 9000), False),
    ("what it was traded for", session(issued=AT - 20, login=AT - 50), True),
    ("what the next one was traded for", session(issued=AT + 20, login=AT + 10), False),
]


@pytest.mark.parametrize(("shown", "is_refused"), [row[1:] for row in LOGOUT], ids=[row[0] for row in LOGOUT])
def test_of_a_logout(revocations, shown, is_refused):
    revocations.add(of_logout(oidc(issued=AT - 50), clock=lambda: AT))
    assert refused(revocations, shown) is is_refused


def test_a_logout_ends_younger_logins_on_other_machines_too(revocations):
    revocations.add(of_logout(oidc(issued=AT - 3000), clock=lambda: AT))
    assert refused(revocations, oidc(issued=AT - 600))
    assert refused(revocations, session(issued=AT + 20, login=AT - 600)), "traded for such a login since"
    assert not refused(revocations, oidc(issued=AT - SKEW + 1)), "the next sign-in, by a clock that is behind"


def test_a_logout_with_a_sessions_token_ends_that_session(revocations):
    revocations.add(of_logout(session(issued=AT - 1, login=AT - 1, session_id="s1"), clock=lambda: AT))
    assert refused(revocations, session(issued=AT - 1, login=AT - 1, session_id="s1"))
    assert not refused(revocations, oidc(issued=AT - 1))


def test_who_shares_the_directory_sees_it_and_so_does_the_next_start(tmp_path, revocations):
    other = Revocations(tmp_path, lambda: 1e9)
    revocations.add(of_session("s1", "root"))
    assert refused(other, session(issued=0, login=0, session_id="s1"))
    assert refused(Revocations(tmp_path), session(issued=0, login=0, session_id="s1"))
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_many_at_once_lose_none(tmp_path):
    threads = [
        threading.Thread(target=lambda n=number: Revocations(tmp_path).add(of_session(f"s{n}", "root")))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads((tmp_path / FILE).read_text())["revocations"]) == 20


def test_nobody_who_is_revoked_passes_while_another_revocation_is_taken_in(tmp_path):
    """The gateway writes on a thread, and goes on to check requests meanwhile."""
    revocations, done = Revocations(tmp_path), threading.Event()
    revocations._take({str(n): of_principal(f"p{n}", "root") for n in range(1000)})
    revocations.add(of_principal(ALICE.key, "root"))

    def work():
        for number in range(50):
            revocations._take({f"s{number}": of_session(f"s{number}", "root")})
        done.set()

    token, interval = oidc(issued=AT), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    writer = threading.Thread(target=work)
    writer.start()
    try:
        while not done.is_set():
            assert refused(revocations, token)
            revocations.unrecorded()
    finally:
        sys.setswitchinterval(interval)
        writer.join()


def test_each_is_recorded_once_and_learns_what_its_session_was(tmp_path, revocations):
    from types import SimpleNamespace

    revocations.add(of_session("s1", "root"))
    [fresh] = revocations.unrecorded()
    recorded = SimpleNamespace(id="s1", principal=ALICE, connection="acme", agent="bq", client_address="::1")
    revocations.record([fresh], [recorded])
    assert revocations.unrecorded() == Revocations(tmp_path).unrecorded() == []
    [kept] = json.loads((tmp_path / FILE).read_text())["revocations"]
    assert (kept["principal"], kept["agent"], kept["recorded"]) == (ALICE.key, "bq", True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"revocations": [{}]}', '{"revocations": [{"id": "x"}]}'])
def test_a_list_that_cannot_be_read_lets_nobody_in_and_starts_no_gateway(tmp_path, revocations, text):
    revocations.add(of_session("s1", "root"))
    (tmp_path / FILE).write_text(text)
    with pytest.raises(IdentityError) as caught:
        revocations.check(oidc(BOB, issued=AT))
    assert caught.value.reason == "unavailable"
    with pytest.raises(IdentityError):
        revocations.check(oidc(BOB, issued=AT))
    with pytest.raises(ConfigError, match="nobody is let in"):
        Revocations(tmp_path)
    with pytest.raises(ConfigError):
        revocations.add(of_session("s2", "root"))


def test_a_list_that_vanishes_ends_no_revocation_of_a_gateway_that_runs(tmp_path, revocations):
    revocations.add(of_session("s1", "root"))
    (tmp_path / FILE).unlink()
    assert refused(revocations, session(issued=0, login=0, session_id="s1"))


def test_only_old_sign_outs_are_forgotten(tmp_path, revocations):
    import time

    long_ago = lambda: time.time() - 91 * 86400  # noqa: E731
    for made in (
        of_logout(oidc(issued=long_ago()), clock=long_ago),
        of_principal("b1", "root", clock=long_ago),
        of_session("s1", "root", clock=long_ago),
    ):
        revocations.add(made)
    assert len(Revocations(tmp_path).unrecorded()) == 3, "not before they are recorded"
    revocations.record(revocations.unrecorded())
    revocations.add(of_session("s2", "root"))
    kept = json.loads((tmp_path / FILE).read_text())["revocations"]
    assert [(each["principal"], each["session_id"]) for each in kept] == [("b1", None), (None, "s1"), (None, "s2")]


def test_signing_out_twice_covers_what_either_did(revocations):
    revocations.add(of_logout(oidc(issued=AT + 100), clock=lambda: AT))
    revocations.add(of_logout(oidc(issued=AT + 50), clock=lambda: AT + 200))
    assert refused(revocations, oidc(issued=AT + 100))
    assert refused(revocations, session(issued=AT + 150, login=AT + 120))
    assert not refused(revocations, oidc(issued=AT + 200 - SKEW + 1))


def test_looking_costs_next_to_nothing(tmp_path):
    import time

    revocations = Revocations(tmp_path)
    for number in range(300):
        revocations._take({str(number): replace(of_principal(f"p{number}", "root"), id=str(number))})
    # Of the processor: what runs beside it does not count.
    token, began = oidc(BOB, issued=AT), time.thread_time()
    for _ in range(2000):
        revocations.check(token)
    assert (time.thread_time() - began) / 2000 < 50e-6
