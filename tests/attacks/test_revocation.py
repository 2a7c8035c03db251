"""What is revoked bites at once: on open connections, in running streams, for what tokens could be traded for again,
after restarts; and what is not revoked goes on."""

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from uuid_utils import uuid7

from hoop_mitm.devkit.pki import WorldCA
from tests.attacks.raw import BIGQUERY, bigquery
from tests.attacks.tokens import DATASETS, OAUTH2, exchange, post, session_token, use
from tests.gateways import RunningGateway
from tests.waiting import until

AT_ONCE = 1.0
"""The gateway looks at the list with a request that comes so long after the last look, and at its keys."""


@pytest.fixture(scope="module")
def own(world, tmp_path_factory):
    """A gateway of these tests' own, whose people may be thrown out."""
    with RunningGateway(world, tmp_path_factory.mktemp("revocation")) as running:
        yield running


def revoke(gateway, *what):
    command = [sys.executable, "-m", "hoop_mitm.cli", "sessions", "revoke", *what]
    done = subprocess.run([*command, "--config", gateway.config_file], capture_output=True, text=True, check=True)
    return done.stdout.split()


def open_connection(gateway):
    return bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")


def person(world, name="alice", **claims):
    """Somebody who signed in a while ago; each test has people of its own."""
    now = int(time.time()) - 600
    return world.issuer.token(name, **{"sub": f"00u-{uuid7()}", "iat": now, "auth_time": now, **claims})


def test_a_revoked_session_is_refused_on_the_next_request_of_an_open_connection(own, world):
    session, other = str(uuid7()), str(uuid7())
    login = person(world)
    token, elsewhere = session_token(own, login, session), session_token(own, login, other)
    with open_connection(own) as raw:
        assert raw.request("GET", DATASETS, token=token).status == 200
        assert revoke(own, session) == [session]
        time.sleep(AT_ONCE)
        refused = raw.request("GET", DATASETS, token=token)
        assert (refused.status, "hoop-mitm run" in refused.message) == (403, True)
        assert raw.request("GET", DATASETS, token=elsewhere).status == 200, "another session of the same person goes on"
    again = exchange(own, login, session)
    assert (again.status, "ended" in again.message) == (400, True), "nor can its id be used again"
    assert exchange(own, login, str(uuid7())).status == 200


def test_a_revoked_person_is_refused_with_everything_that_they_hold(own, world):
    email = "carol@acme.example"
    subject = f"00u-{uuid7()}"
    login = person(world, sub=subject, email=email)
    named, unnamed = session_token(own, login, str(uuid7())), session_token(own, login)
    bystander = session_token(own, person(world))
    assert use(own, named).status == use(own, unnamed).status == use(own, login).status == 200
    own.folded().close()

    revoked = revoke(own, "--principal", email)

    assert set(revoked) == {email, f"{world.issuer.url}#{subject}"}
    time.sleep(AT_ONCE)
    for token in (named, unnamed, login):
        refused = use(own, token)
        assert (refused.status, "hoop-mitm login" in refused.message) == (403, True)
    traded = exchange(own, login)
    assert (traded.status, "revoked" in traded.message) == (400, True)
    refreshed = post(own, OAUTH2, "/token", {"grant_type": "refresh_token", "refresh_token": named})
    assert refreshed.status == 400
    unverified = person(world, sub=subject, email=email, email_verified=False)
    assert use(own, unverified).status == 403, "also without the address that was written down"
    assert use(own, bystander).status == 200


def test_who_signs_in_anew_after_that_is_let_in(own, world):
    subject = f"00u-{uuid7()}"
    login = person(world, sub=subject)
    revoke(own, "--principal", f"{world.issuer.url}#{subject}")
    time.sleep(AT_ONCE)
    assert use(own, login).status == 403
    # As if the minute had passed that clocks may differ by: the gateway takes clocks that are as far ahead.
    now = int(time.time())
    anew = person(world, sub=subject, iat=now + 61, nbf=now, exp=now + 3600, auth_time=now + 61)
    until(lambda: use(own, anew).status == 200)
    renewed = person(world, sub=subject, iat=now + 61, nbf=now, exp=now + 3600, auth_time=now - 600)
    refused = use(own, renewed)
    assert (refused.status, "revoked" in refused.message) == (403, True), "renewed since, but the login is the old one"


def test_after_logout_a_session_token_is_refused_and_the_next_login_is_good(own, world):
    subject = f"00u-{uuid7()}"
    login = person(world, sub=subject)
    token = session_token(own, login)
    with open_connection(own) as raw:
        assert raw.request("GET", DATASETS, token=token).status == 200
        assert post(own, OAUTH2, "/revoke", {"token": login}).status == 200
        refused = raw.request("GET", DATASETS, token=token)
        assert (refused.status, "signed out" in refused.message) == (403, True)
    assert exchange(own, login).status == 400
    now = int(time.time())
    # The identity provider remembers the person, so `auth_time` is old: signing out did not ask for a password.
    assert use(own, person(world, sub=subject, iat=now, auth_time=now - 9000)).status == 200


def test_a_session_without_a_name_can_be_revoked_too(own, world):
    subject = f"00u-{uuid7()}"
    login = person(world, sub=subject)
    token = session_token(own, login)
    assert use(own, token, "User-Agent: tool/1").status == 200
    [[session]] = own.ask(f"SELECT id FROM sessions WHERE subject = '{subject}'")
    assert revoke(own, session) == [session]
    time.sleep(AT_ONCE)
    assert use(own, token, "User-Agent: tool/1").status == 403
    assert use(own, session_token(own, login), "User-Agent: tool/1").status == 403, (
        "nor with another token of that login"
    )


def test_it_survives_a_restart_and_is_recorded_once(world, tmp_path):
    gateway = RunningGateway(world, tmp_path)
    login, session = person(world), str(uuid7())
    with gateway:
        token = session_token(gateway, login, session)
        unnamed_login = person(world)
        unnamed = session_token(gateway, unnamed_login)
        assert use(gateway, unnamed, "User-Agent: tool/1").status == 200
        assert use(gateway, token).status == 200
        [[other]] = gateway.ask(f"SELECT id FROM sessions WHERE id <> '{session}'")
    # While no gateway runs.
    revoke(gateway, session)
    revoke(gateway, other)
    noted = tmp_path / "state" / "revocations.json"
    assert noted.stat().st_mode & 0o777 == 0o600
    with gateway:
        assert use(gateway, token).status == 403
        assert use(gateway, unnamed, "User-Agent: tool/1").status == 403, "known by what it came from"
        found = gateway.ask("SELECT session_id FROM events WHERE type = 'session.revoked' ORDER BY id")
        assert found == [(session,), (other,)]
        # It is noted after it is recorded: who is stopped in between records it again.
        until(lambda: all(each["recorded"] for each in json.loads(noted.read_text())["revocations"]))
    with gateway:
        assert use(gateway, token).status == 403
        assert len(gateway.ask("SELECT 1 FROM events WHERE type = 'session.revoked'")) == 2
        found = gateway.ask(
            "SELECT DISTINCT details->>'reason', subject IS NOT NULL FROM events WHERE type = 'identity.refused' AND (details->>'rule') LIKE '%revoked'"
        )
        assert found == [("revoked", True)], "and it is said whose token it was"


def test_a_list_that_cannot_be_read_lets_nobody_in(world, tmp_path):
    with RunningGateway(world, tmp_path) as gateway:
        token = session_token(gateway, person(world))
        assert use(gateway, token).status == 200
        place = tmp_path / "state" / "revocations.json"
        place.write_text("{")
        time.sleep(AT_ONCE)
        refused = use(gateway, token)
        assert (refused.status, "revoked" in refused.message) == (403, True)
        place.write_text('{"version": 1, "revocations": []}')
        time.sleep(AT_ONCE)
        assert use(gateway, token).status == 200


class Slow:
    """A 'Google' that sends a page of rows for as long as somebody reads it."""

    def __init__(self, certificate):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.chain, certificate.key)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            with contextlib.suppress(OSError):
                connection, _ = self.listener.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with contextlib.suppress(OSError):
            tls = self.context.wrap_socket(connection, server_side=True)
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                tls.sendall(b"400\r\n" + b" " * 0x400 + b"\r\n")
                time.sleep(0.1)


def test_a_running_stream_ends_at_its_next_message(world, tmp_path):
    authority = WorldCA(tmp_path / "tls")
    slow = Slow(authority.issue("bigquery", (BIGQUERY, "127.0.0.1")))
    bundle = tmp_path / "ca.pem"
    bundle.write_text(world.ca.read_text() + authority.certificate.read_text())
    hosts = {**world.hosts, BIGQUERY: f"127.0.0.1:{slow.port}"}
    upstream = {"ca": str(bundle), "hosts": hosts}
    with RunningGateway(world, tmp_path, gateway={"upstream": upstream}) as gateway:
        session = str(uuid7())
        token = session_token(gateway, person(world), session)
        with open_connection(gateway) as raw:
            head = f"GET {DATASETS}/shop/tables/orders/data HTTP/1.1\r\nHost: {BIGQUERY}\r\nAuthorization: Bearer {token}\r\n\r\n"
            raw.connection.sendall(head.encode())
            assert b"200 OK" in raw.connection.recv(65536)
            revoke(gateway, session)
            got = b""
            # Google would never end it.
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                while data := raw.connection.recv(65536):
                    got += data
        assert not got.endswith(b"0\r\n\r\n"), "it does not look complete"
        # It is cut off first. Until that is recorded it is told as one that is open.
        cut = "SELECT error FROM flows WHERE door = 'tabledata.list' AND state = 'truncated'"
        until(lambda: gateway.ask(cut))
        [[error]] = gateway.ask(cut)
        assert "ended" in error


def test_keys_rotate_without_ending_sessions_and_with_it_when_a_key_leaked(world, tmp_path):
    with RunningGateway(world, tmp_path) as gateway:
        login = person(world)
        before = session_token(gateway, login)
        keys = [sys.executable, "-m", "hoop_mitm.cli", "keys", "rotate", "--config", str(gateway.config_file)]
        kid = subprocess.run(keys, capture_output=True, text=True, check=True).stdout.strip()
        time.sleep(AT_ONCE)
        after = session_token(gateway, login)
        import jwt

        assert jwt.get_unverified_header(after)["kid"] == kid, "a gateway that runs takes the new key"
        assert jwt.get_unverified_header(before)["kid"] != kid
        assert use(gateway, before).status == use(gateway, after).status == 200
        subprocess.run([*keys, "--end-sessions"], capture_output=True, check=True)
        time.sleep(AT_ONCE)
        assert use(gateway, before).status == use(gateway, after).status == 403
        assert use(gateway, session_token(gateway, login)).status == 200
