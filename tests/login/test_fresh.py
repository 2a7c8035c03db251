"""A fresh ID token whenever somebody asks: renewed in time, once, and refused in words when the login is over."""

import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from hoop_mitm.errors import LoginError, Unreachable
from hoop_mitm.login import TokenStore, fresh_id_token, tokens_of
from hoop_mitm.login.signing_in import sign_in
from tests.login import people


@pytest.fixture
def signed_in(issuer, profile, monkeypatch):
    monkeypatch.setattr("hoop_mitm.devkit.issuer._POLL_INTERVAL", 0.05)
    return lambda: sign_in(profile, people.shown(code=lambda code: issuer.approve(code.user_code, "alice"))).tokens


@pytest.fixture
def refreshes(issuer, monkeypatch):
    done = []
    original = issuer._refreshed
    monkeypatch.setattr(issuer, "_refreshed", lambda form: (done.append(form), original(form))[1])
    return done


def test_nobody_is_signed_in(profile):
    with pytest.raises(LoginError, match="Run `hoop-mitm login`"):
        fresh_id_token(profile)


def test_a_token_that_is_good_for_long_is_given_as_it_is(profile, signed_in, refreshes):
    tokens = signed_in()
    assert fresh_id_token(profile) == tokens.id_token
    assert refreshes == []


WHEN = [
    # the life of a token, seconds after its issue, renewed
    (3600, 3400, False),
    (3600, 3500, True),
    (3600, 3700, True),
    (30, 15, False),
    (30, 25, True),
]


@pytest.mark.parametrize(("life", "after", "renewed"), WHEN)
def test_it_is_renewed_before_it_ends(issuer, profile, signed_in, refreshes, life, after, renewed):  # noqa: PLR0917
    issuer.lifetime = timedelta(seconds=life)
    tokens = signed_in()
    now = tokens.issued_at + after
    if now > time.time() + 30:
        issuer.lifetime = timedelta(days=1)  # What comes then is to be good then.
    tokens_of(profile, clock=lambda: now)
    assert len(refreshes) == renewed


def test_each_renewal_keeps_the_next_refresh_token(issuer, profile, signed_in, refreshes):
    issuer.lifetime = timedelta(seconds=1)
    signed_in()
    for _ in range(3):
        time.sleep(1)
        assert fresh_id_token(profile)
    assert len({form["refresh_token"] for form in refreshes}) == 3, "the issuer takes each once"


TEN = """
import sys
from pathlib import Path
from hoop_mitm.login import fresh_id_token, load_profile
sys.stdin.readline()
print(fresh_id_token(load_profile(Path(sys.argv[1]))))
"""


def client_file(home, profile):
    path = home / "client.yaml"
    path.write_text(profile.model_dump_json(exclude_none=True))
    return path


def test_ten_processes_renew_once(issuer, profile, signed_in, refreshes, home):
    issuer.lifetime = timedelta(seconds=1)
    signed_in()
    time.sleep(1)
    issuer.lifetime = timedelta(hours=1)
    command = [sys.executable, "-c", TEN, str(client_file(home, profile))]
    waiting = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
        for _ in range(10)
    ]
    for each in waiting:
        each.stdin.write("\n")
        each.stdin.flush()
    tokens = {each.communicate()[0] for each in waiting}
    assert len(tokens) == 1
    assert tokens != {""}
    assert len(refreshes) == 1


def test_an_issuer_that_is_away_is_no_matter_while_the_token_is_good(issuer, profile, signed_in):
    issuer.lifetime = timedelta(seconds=30)
    tokens = signed_in()
    issuer.outage = True
    assert tokens_of(profile, clock=lambda: tokens.issued_at + 25) == tokens
    with pytest.raises(Unreachable):
        tokens_of(profile, clock=lambda: tokens.issued_at + 31)


def test_a_login_that_the_issuer_has_ended(issuer, profile, signed_in):
    issuer.lifetime = timedelta(seconds=1)
    signed_in()
    issuer.sign_out("alice")
    time.sleep(1)
    with pytest.raises(LoginError, match=r"login is over.*hoop-mitm login"):
        fresh_id_token(profile)


def test_a_login_without_anything_to_renew_it_with(issuer, profile, signed_in):
    from dataclasses import replace

    tokens = replace(signed_in(), refresh_token=None)
    TokenStore(profile).save(tokens)
    assert tokens_of(profile, clock=lambda: tokens.expires_at - 1) == tokens
    with pytest.raises(LoginError, match="offline_access"):
        tokens_of(profile, clock=lambda: tokens.expires_at + 1)


@pytest.mark.parametrize(
    ("changes", "said"), [({"aud": "another"}, "another application"), ({"sub": "00u2bob"}, "somebody else")]
)
def test_a_renewal_that_is_not_ones_own_is_not_believed(issuer, profile, signed_in, monkeypatch, changes, said):  # noqa: PLR0917
    issuer.lifetime = timedelta(seconds=1)
    signed_in()
    time.sleep(1)
    token = issuer.token
    monkeypatch.setattr(issuer, "token", lambda *args, **claims: token(*args, **claims | changes))
    with pytest.raises(LoginError, match=said):
        fresh_id_token(profile)
