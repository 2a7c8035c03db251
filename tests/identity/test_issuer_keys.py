"""Keys follow their issuer: through rotation, withdrawal, outage and flood."""

import asyncio
import json
from datetime import timedelta

import pytest

from hoop_mitm.config import Issuer
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import OidcVerifier
from tests.identity.local_issuer import AUDIENCE, fetch


class Gateway:
    """One verifier over several calls, with the reason or the subject as the outcome."""

    def __init__(self, issuer, clock, fetch=fetch, **settings):
        entry = Issuer.model_validate({"issuer": issuer.url, "audiences": [AUDIENCE], "max_lifetime": "30d"} | settings)
        self.verifier = OidcVerifier([entry], fetch, clock)

    async def outcome(self, token: str) -> str:
        try:
            return (await self.verifier.verify(token)).principal.subject
        except IdentityError as error:
            return error.reason

    def verify(self, token: str) -> str:
        return asyncio.run(self.outcome(token))


@pytest.fixture
def gateway(issuer, clock):
    return Gateway(issuer, clock)


def test_keys_are_read_once_for_many_tokens(gateway, issuer):
    for number in range(5):
        assert gateway.verify(issuer.token(sub=f"user-{number}")) == f"user-{number}"
    assert issuer.requests == ["/.well-known/openid-configuration", "/jwks"]


def test_many_at_once_read_the_keys_once(gateway, issuer):
    async def at_once():
        return await asyncio.gather(*(gateway.outcome(issuer.token()) for _ in range(20)))

    assert asyncio.run(at_once()) == ["user-alice"] * 20
    assert issuer.jwks_reads == 1


def test_a_rotated_key_is_found_at_once(gateway, issuer, keyring):
    assert gateway.verify(issuer.token()) == "user-alice"
    issuer.add_key("second", keyring.other_rsa)
    assert gateway.verify(issuer.token()) == "user-alice"
    assert issuer.jwks_reads == 2


def test_during_a_rotation_tokens_of_both_keys_are_good(gateway, issuer, keyring):
    old = issuer.token()
    issuer.add_key("second", keyring.other_rsa)
    assert [gateway.verify(old), gateway.verify(issuer.token()), gateway.verify(old)] == ["user-alice"] * 3


def test_a_withdrawn_key_stops_to_be_trusted_within_a_quarter_of_an_hour(gateway, issuer, clock, keyring):
    old = issuer.token(exp=issuer.claims()["iat"] + 86400)
    assert gateway.verify(old) == "user-alice"
    issuer.published.clear()
    issuer.add_key("second", keyring.other_rsa)
    clock.advance(14 * 60)
    assert gateway.verify(old) == "user-alice"
    clock.advance(2 * 60)
    assert gateway.verify(old) == "unknown_key"


def test_an_issuer_that_withdraws_all_keys_is_believed(gateway, issuer, clock):
    token = issuer.token()
    assert gateway.verify(token) == "user-alice"
    issuer.published.clear()
    clock.advance(16 * 60)
    assert gateway.verify(token) == "unknown_key"


def test_made_up_key_ids_cannot_flood_the_issuer(gateway, issuer, clock):
    for number in range(50):
        assert gateway.verify(issuer.token(headers={"kid": f"made-up-{number}"})) == "unknown_key"
    assert issuer.jwks_reads <= 7
    reads = issuer.jwks_reads
    clock.advance(60)
    for number in range(50):
        gateway.verify(issuer.token(headers={"kid": f"made-up-again-{number}"}))
    assert issuer.jwks_reads - reads <= 6


def test_after_a_flood_a_rotated_key_is_still_found_within_seconds(gateway, issuer, clock, keyring):
    for number in range(20):
        gateway.verify(issuer.token(headers={"kid": f"made-up-{number}"}))
    issuer.add_key("second", keyring.other_rsa)
    assert gateway.verify(issuer.token()) == "unknown_key"
    clock.advance(11)
    assert gateway.verify(issuer.token()) == "user-alice"


def test_tokens_of_unknown_issuers_make_no_request(gateway, issuer):
    assert gateway.verify(issuer.token(iss="https://evil.example.com")) == "unknown_issuer"
    assert issuer.requests == []


def test_known_keys_are_trusted_through_an_outage_but_not_for_ever(issuer, clock):
    gateway = Gateway(issuer, clock, max_outage="12h")
    token = issuer.token(exp=issuer.claims()["iat"] + 5 * 86400)
    assert gateway.verify(token) == "user-alice"
    issuer.outage = True
    for hours, outcome in [
        (1, "user-alice"),
        (10.9, "user-alice"),
        (0.2, "issuer_unreachable"),
        (48, "issuer_unreachable"),
    ]:
        clock.advance(hours * 3600)
        assert gateway.verify(token) == outcome
    issuer.outage = False
    clock.advance(11)
    assert gateway.verify(token) == "user-alice"


def test_without_any_grace_an_outage_bites_within_a_minute(issuer, clock):
    gateway = Gateway(issuer, clock, max_outage="0s")
    token = issuer.token()
    assert gateway.verify(token) == "user-alice"
    issuer.outage = True
    clock.advance(61)
    assert gateway.verify(token) == "issuer_unreachable"


def test_an_issuer_that_was_never_reached_is_asked_again_after_a_pause(gateway, issuer, clock):
    issuer.outage = True
    token = issuer.token()
    assert [gateway.verify(token) for _ in range(5)] == ["issuer_unreachable"] * 5
    assert len(issuer.requests) == 1
    issuer.outage = False
    clock.advance(11)
    assert gateway.verify(token) == "user-alice"


def test_a_new_key_during_an_outage_is_the_issuers_fault_not_the_users(gateway, issuer, keyring):
    assert gateway.verify(issuer.token()) == "user-alice"
    issuer.outage = True
    issuer.add_key("second", keyring.other_rsa)
    assert gateway.verify(issuer.token()) == "issuer_unreachable"


def test_a_clock_that_jumps_back_makes_keys_be_read_again(gateway, issuer, clock):
    assert gateway.verify(issuer.token()) == "user-alice"
    clock.advance(-20)
    assert gateway.verify(issuer.token()) == "user-alice"
    assert issuer.jwks_reads == 2


@pytest.mark.parametrize(
    "changes", [{"issuer": "https://evil.example.com"}, {"issuer": "http://127.0.0.1"}, {"issuer": None}]
)
def test_a_discovery_document_that_is_not_the_issuers_own_brings_no_keys(gateway, issuer, changes):
    issuer.discovery_changes = changes
    assert gateway.verify(issuer.token()) == "issuer_unreachable"
    assert issuer.jwks_reads == 0


KEY_ADDRESSES = {
    # the issuer, where it says that its keys are, whether they are read
    "beside it": ("https://sso.example.com", "https://sso.example.com/keys", True),
    "elsewhere": ("https://sso.example.com", "https://keys.example.net/keys", True),
    "without TLS": ("https://sso.example.com", "http://sso.example.com/keys", False),
    "on our own machine": ("https://sso.example.com", "http://127.0.0.1/keys", False),
    "on our own machine, as the issuer": ("http://127.0.0.1:7", "http://localhost:8/keys", True),
    "without TLS elsewhere": ("http://127.0.0.1:7", "http://keys.example.net/keys", False),
    "almost on our own machine": ("http://127.0.0.1:7", "http://127.0.0.1.example.com/keys", False),
    "in a file": ("https://sso.example.com", "file:///etc/passwd", False),
    "by FTP": ("http://127.0.0.1:7", "ftp://127.0.0.1/keys", False),
    "a number": ("https://sso.example.com", 7, False),
    "nowhere": ("https://sso.example.com", None, False),
}


@pytest.mark.parametrize(("issuer_url", "jwks_uri", "read"), KEY_ADDRESSES.values(), ids=KEY_ADDRESSES.keys())
def test_keys_are_read_over_tls_or_on_this_machine(issuer, clock, issuer_url, jwks_uri, read):
    fetched = []

    async def internet(url, _ca):
        fetched.append(url)
        keys = url != f"{issuer_url}/.well-known/openid-configuration"
        return json.dumps({"keys": issuer.published} if keys else {"issuer": issuer_url, "jwks_uri": jwks_uri}).encode()

    issuer.url = issuer_url
    assert Gateway(issuer, clock, internet).verify(issuer.token()) == ("user-alice" if read else "issuer_unreachable")
    assert fetched[1:] == ([jwks_uri] if read else [])


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}, {"keys": [{}] * 101}, "keys"])
def test_a_key_set_that_is_none_brings_no_keys(gateway, issuer, document, monkeypatch):
    own = issuer.document
    monkeypatch.setattr(issuer, "document", lambda path: document if path == "/jwks" else own(path))
    assert gateway.verify(issuer.token()) == "issuer_unreachable"


def test_a_broken_entry_in_a_key_set_does_not_spoil_the_others(gateway, issuer):
    issuer.published[:0] = ["text", {}, {"kty": "RSA", "kid": "first"}, {"kty": "OKP", "crv": "X25519", "kid": "x"}]  # type: ignore[list-item]
    assert gateway.verify(issuer.token()) == "user-alice"


def test_a_slow_issuer_does_not_stop_the_event_loop(issuer, clock):
    async def both():
        asked, others_were_served = asyncio.Event(), asyncio.Event()

        async def slow(url, ca):
            asked.set()
            await others_were_served.wait()
            return await fetch(url, ca)

        verifying = asyncio.create_task(Gateway(issuer, clock, slow).outcome(issuer.token()))
        await asked.wait()
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert not verifying.done()
        others_were_served.set()
        return await verifying

    assert asyncio.run(both()) == "user-alice"


def test_an_issuer_that_never_answers_is_given_up(issuer, clock, monkeypatch):
    monkeypatch.setattr("hoop_mitm.identity.issuer_keys._TIMEOUT", 0.05)

    async def never(_url, _ca):
        await asyncio.sleep(3600)

    assert Gateway(issuer, clock, never).verify(issuer.token()) == "issuer_unreachable"


def test_the_issuers_ca_is_handed_to_the_fetch(issuer, clock, tmp_path):
    seen = []

    async def noting(url, ca):
        seen.append(ca)
        return await fetch(url, None)

    assert Gateway(issuer, clock, noting, ca=str(tmp_path / "ca.pem")).verify(issuer.token()) == "user-alice"
    assert seen == [tmp_path / "ca.pem"] * 2


def test_a_token_of_long_life_is_bounded_by_configuration(issuer, clock):
    gateway = Gateway(issuer, clock, max_lifetime="1h")
    assert gateway.verify(issuer.token(exp=issuer.claims()["iat"] + timedelta(hours=2).seconds)) == "lifetime"


def test_the_log_names_the_issuer_but_no_password(issuer, clock, caplog):
    async def failing(_url, _ca):
        raise ConnectionError("http://user:s3cret@proxy:3128 refused")

    assert Gateway(issuer, clock, failing).verify(issuer.token()) == "issuer_unreachable"
    assert issuer.url in caplog.text
    assert "s3cret" not in caplog.text
