"""Signing in: both ways, chosen by what there is, and refused in words when something is not in order."""

import json
import threading
import time
from datetime import timedelta

import pytest
import requests

from hoop_mitm.devkit.http import Request, Response
from hoop_mitm.errors import LoginError, Unreachable
from hoop_mitm.login import TokenStore, browser, device
from hoop_mitm.login.signing_in import sign_in
from tests.login import people


@pytest.fixture(autouse=True)
def no_waiting(issuer, monkeypatch):
    """Polls as fast as the issuer lets us."""
    monkeypatch.setattr("hoop_mitm.devkit.issuer._POLL_INTERVAL", 0.05)
    monkeypatch.setattr(device, "_SLOWER", 0.3)
    monkeypatch.setattr("hoop_mitm.devkit.issuer._SLOWER", 0.1)


def in_background(work):
    threading.Thread(target=work, daemon=True).start()


def test_with_a_code_on_another_device(issuer, profile):
    seen = []

    def show(code):
        seen.append(code)
        in_background(lambda: people.choose(profile.ca, code.page_with_code, "bob"))

    done = sign_in(profile, people.shown(code=show))

    assert done.principal.email == "bob@acme.example"
    assert done.principal.groups == ("analysts", "reviewers")
    assert done.kept == "file"
    assert TokenStore(profile).load() == done.tokens
    assert done.tokens.refresh_token
    assert seen[0].device_code not in repr(seen[0])


def test_with_a_browser_here(issuer, profile):
    done = sign_in(
        profile,
        people.shown(address=lambda url, _: in_background(lambda: people.choose(profile.ca, url, "alice"))),
        way="browser",
    )

    assert done.principal.email == "alice@acme.example"


def test_the_browser_of_this_machine_is_opened(issuer, profile, home, monkeypatch):
    monkeypatch.setenv("BROWSER", people.browser_script(home, profile.ca, "alice"))
    opened = []

    done = sign_in(profile, people.shown(address=lambda _, was: opened.append(was)))

    assert opened == [True]
    assert done.principal.email == "alice@acme.example"


CHOICES = [
    # device flow offered, browser there, what is chosen
    (True, False, "code"),
    (True, True, "address"),
    (False, False, "address"),
    (False, True, "address"),
]


@pytest.mark.parametrize(("offered", "there", "chosen"), CHOICES)
def test_the_way_that_fits_is_chosen(issuer, profile, monkeypatch, offered, there, chosen):  # noqa: PLR0917
    issuer.device_flow = offered
    monkeypatch.setattr(browser, "is_there", lambda: there)
    monkeypatch.setattr(browser.webbrowser, "open", lambda _: True)

    class Chosen(Exception):
        pass

    def stop(*_):
        raise Chosen

    with pytest.raises(Chosen):
        sign_in(profile, people.shown(**{chosen: stop}))


BROWSERS = [
    ({}, "linux", False),
    ({"DISPLAY": ":0", "SSH_CONNECTION": "x"}, "linux", False),
    ({"BROWSER": "firefox"}, "linux", True),
    ({"CI": "true", "DISPLAY": ":0"}, "linux", False),
    ({"SSH_CONNECTION": "x"}, "darwin", False),
]


@pytest.mark.parametrize(("environment", "platform", "there"), BROWSERS)
def test_a_browser_is_there_when_a_person_would_see_it(monkeypatch, environment, platform, there):
    monkeypatch.setattr(browser.sys, "platform", platform)
    assert browser.is_there(environment) is there


def refused(profile, shown, **more) -> str:
    with pytest.raises(LoginError) as caught:
        sign_in(profile, shown, **more)
    assert TokenStore(profile).load() is None, "nothing is kept of a sign-in that failed"
    return str(caught.value)


def test_denied_on_the_other_device(issuer, profile):
    said = refused(profile, people.shown(code=lambda code: issuer.deny(code.user_code)))
    assert "denied" in said
    assert "hoop-mitm login" in said


def test_denied_in_the_browser(issuer, profile):
    def deny(url, _):
        in_background(lambda: people.choose(profile.ca, url, ""))

    assert "denied" in refused(profile, people.shown(address=deny), way="browser")


def test_a_code_that_nobody_entered_in_time(issuer, profile):
    issuer.device_lifetime = timedelta(seconds=1)
    said = refused(profile, people.shown(code=lambda _: None))
    assert "expired" in said
    assert "hoop-mitm login" in said


def test_whoever_polls_too_fast_polls_slower_and_still_gets_in(issuer, profile, monkeypatch):
    asked = []
    original = issuer._redeem_device

    def redeem(form):
        asked.append(time.monotonic())
        device_of = issuer._devices[form["device_code"]]
        if len(asked) == 1:
            device_of.asked_at = time.time() + 60  # As if somebody had asked just now, however slow this machine is.
        else:
            device_of.user = "alice"  # Who approved meanwhile.
        return original(form)

    monkeypatch.setattr(issuer, "_redeem_device", redeem)
    done = sign_in(profile, people.shown(code=lambda _: None))

    assert done.principal.email == "alice@acme.example"
    assert asked[1] - asked[0] >= 0.3, "it was told to slow down after the first question"


@pytest.mark.parametrize(
    ("offset", "said"), [(timedelta(hours=2), "clocks"), (timedelta(hours=-2), "clocks")], ids=["ahead", "behind"]
)
def test_clocks_that_differ(issuer, profile, monkeypatch, offset, said):
    token = issuer.token

    def shifted(user, audience="hoop-mitm", lifetime=None, **claims):
        now = int(time.time() + offset.total_seconds())
        return token(user, audience, lifetime, **{"iat": now, "nbf": now, "exp": now + 3600, **claims})

    monkeypatch.setattr(issuer, "token", shifted)
    text = refused(profile, people.shown(code=lambda code: issuer.approve(code.user_code, "alice")))
    assert said in text
    assert "UTC" in text


def test_a_token_for_another_application(issuer, profile, monkeypatch):
    token = issuer.token
    monkeypatch.setattr(issuer, "token", lambda *args, **claims: token(*args, **claims | {"aud": "another"}))
    said = refused(profile, people.shown(code=lambda code: issuer.approve(code.user_code, "alice")))
    assert "another application" in said
    assert "client_id" in said


def test_an_application_that_the_issuer_does_not_know(issuer, profile):
    said = refused(profile.model_copy(update={"client_id": "unknown"}), people.shown())
    assert "does not know the application unknown" in said


def test_an_issuer_that_is_away(issuer, profile):
    issuer.outage = True
    with pytest.raises(Unreachable, match="cannot be reached"):
        sign_in(profile, people.shown())


def test_an_issuer_that_nobody_answers_for(profile):
    nowhere = profile.model_copy(update={"issuer": "https://127.0.0.1:9"})
    with pytest.raises(Unreachable, match="no connection"):
        sign_in(nowhere, people.shown())


def test_an_issuer_whose_certificate_is_not_trusted(issuer, profile):
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        sign_in(profile.model_copy(update={"ca": None}), people.shown())


def test_an_issuer_by_another_name(issuer, profile):
    said = refused(profile.model_copy(update={"issuer": issuer.url.replace("127.0.0.1", "localhost")}), people.shown())
    assert "calls itself another issuer" in said


def test_an_error_of_entras_with_line_ends_is_understood(issuer, profile, monkeypatch):
    handle = issuer._redeem_device
    answers = iter([True])

    def as_entra(form):
        from hoop_mitm.devkit.issuer import OAuthError

        if next(answers, False):
            raise OAuthError("authorization_pending", 'AADSTS70016: Pending.\r\nTrace ID: 1\r\n"x" \u00e9')
        return handle(form)

    monkeypatch.setattr(issuer, "_redeem_device", as_entra)
    done = sign_in(profile, people.shown(code=lambda code: issuer.approve(code.user_code, "alice")))
    assert done.principal.email == "alice@acme.example"


def test_what_an_issuer_says_cannot_steer_the_terminal(issuer, profile, monkeypatch):
    def evil(_form):
        from hoop_mitm.devkit.issuer import OAuthError

        raise OAuthError("weird\x1b[2J", "\x1b]0;owned\x07 reason")

    monkeypatch.setattr(issuer, "_redeem_device", evil)
    said = refused(profile, people.shown(code=lambda _: None))
    assert said.isprintable()
    assert "reason" in said


# The browser's answer: only the one that was asked for.


def forged(profile, change):
    """Signs in with a browser in which an attacker gets to the callback first."""

    def attack(url, _):
        asked = people.query(url)
        answer = people.session(profile.ca).get(
            url, params={"login_hint": "bob", "prompt": "none"}, allow_redirects=False
        )
        good = people.query(answer.headers["location"])
        in_background(lambda: requests.get(asked["redirect_uri"], params=change(dict(good)), timeout=60))

    return people.shown(address=attack)


def without(name):
    def change(answer):
        answer.pop(name)
        return answer

    return change


FORGERIES = {
    "another state": (lambda answer: answer | {"state": "x"}, "another `state`"),
    "no state": (without("state"), "another `state`"),
    "another issuer's answer": (lambda answer: answer | {"iss": "https://evil.example"}, "another issuer"),
    "no code": (without("code"), "gives no reason"),
    "a made-up code": (lambda answer: answer | {"code": "x"}, "over"),
    "an error": (lambda answer: {"state": answer["state"], "error": "access_denied"}, "denied"),
}


@pytest.mark.parametrize(("change", "said"), FORGERIES.values(), ids=FORGERIES.keys())
def test_an_answer_that_nobody_asked_for_is_refused(issuer, profile, change, said):
    assert said in refused(profile, forged(profile, change), way="browser")


def test_a_token_with_another_nonce_is_refused(issuer, profile, monkeypatch):
    original = issuer._redeem_code

    def swapped(form):
        issuer._codes[form["code"]].nonce = "somebody else's"
        return original(form)

    monkeypatch.setattr(issuer, "_redeem_code", swapped)
    said = refused(
        profile,
        people.shown(address=lambda url, _: in_background(lambda: people.choose(profile.ca, url, "alice"))),
        way="browser",
    )
    assert "nonce" in said


def test_the_code_is_worth_nothing_without_the_verifier(issuer, profile, monkeypatch):
    asked = {}
    original = issuer._redeem_code
    monkeypatch.setattr(issuer, "_redeem_code", lambda form: (asked.update(form), original(form))[1])
    sign_in(
        profile,
        people.shown(address=lambda url, _: in_background(lambda: people.choose(profile.ca, url, "alice"))),
        way="browser",
    )
    assert len(asked["code_verifier"]) >= 43


def test_the_callback_takes_one_answer_on_loopback_only(issuer, profile):
    with browser._Callback() as callback:
        assert callback.url.startswith("http://127.0.0.1:")
        elsewhere = requests.get(callback.url.replace("/callback", "/favicon.ico"), timeout=60)
        first = requests.get(callback.url, params={"state": "<script>"}, timeout=60)
        second = requests.get(callback.url, params={"state": "b"}, timeout=60)
        answer = callback.wait(60)
    assert [elsewhere.status_code, first.status_code, second.status_code] == [404, 200, 404]
    assert people.query(answer) == {"state": "<script>"}
    assert "<script>" not in first.text
    assert first.headers["cache-control"] == "no-store"


def test_nobody_comes_back_from_the_browser(issuer, profile, monkeypatch):
    monkeypatch.setattr(browser, "PATIENCE", 0.1)
    assert "Nobody finished" in refused(profile, people.shown(address=lambda *_: None), way="browser")


def test_an_issuer_that_offers_no_way_for_people(servers):
    running, authority = servers
    url = ""

    def machines_only(_request: Request) -> Response:
        endpoints = {"token_endpoint": f"{url}/token", "jwks_uri": f"{url}/jwks"}
        return Response(200, json.dumps({"issuer": url, **endpoints}).encode())

    url = f"https://127.0.0.1:{running.listen(machines_only, authority.issue('machines', ('127.0.0.1',)))}"
    from hoop_mitm.login import ClientProfile

    profile = ClientProfile(
        issuer=url, client_id="x", ca=authority.certificate, connections={"a": ("a",)}, store="file"
    )
    assert "issuer for machines" in refused(profile, people.shown())
