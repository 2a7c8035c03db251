"""Who reads slowly, or not at all, slows down who sends to them, and nobody else. The gateway holds next to nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration

from hoop_mitm.addons.backpressure import WINDOW, PacedConnection
from tests.attacks.paced import Client, Google, content, rows
from tests.attacks.raw import BIGQUERY, bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

SIZE = 3 * WINDOW
FULL = 12 * WINDOW
"""More than all sockets on the way between two ends hold."""

OWN = 65_535
"""Bytes that the client of these tests takes of a stream before it is told to."""

UPLOAD = "/upload/bigquery/v2/projects/acme/jobs"
LOAD = b'{"configuration":{"load":{"destinationTable":{"projectId":"acme","datasetId":"shop","tableId":"t"}}}}'
VERSIONS = pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])


@dataclass
class Stage:
    google: Google
    gateway: RunningGateway
    token: str

    def client(self) -> Client:
        return Client(self.gateway, self.token)


@pytest.fixture
def stage(world, tmp_path, cert):
    """A 'Google' whose answers have so many bytes, and a gateway in front of it, with scripts beside its own."""

    @contextmanager
    def made(size: int, *scripts: Path, **manner: Any) -> Iterator[Stage]:
        with Google(cert[0], size, **manner) as google:
            hosts = {**world.hosts, BIGQUERY: f"127.0.0.1:{google.port}"}
            settings = {"upstream": {"ca": str(cert[1]), "hosts": hosts}}
            arguments = [word for script in scripts for word in ("-s", str(script))]
            entry_point = "mitmdump" if scripts else "proxy"
            with RunningGateway(world, tmp_path, entry_point, arguments, gateway=settings) as gateway:
                yield Stage(google, gateway, world.issuer.token("alice"))

    return made


def pages(gateway: RunningGateway) -> dict[str, tuple[str, int]]:
    """How pages of tables are recorded: state and bytes, by path."""
    found = gateway.ask("SELECT url, state, response_size FROM flows WHERE door = 'tabledata.list'")
    return {url.partition(BIGQUERY)[2]: (state, size) for url, state, size in found}


def begun(client: Client) -> str:
    """Begins an upload, and returns the path for its data."""
    asked = client.ask("POST", f"{UPLOAD}?uploadType=resumable", LOAD)
    client.take(asked)
    return client.headers[asked]["location"].removeprefix(f"https://{BIGQUERY}")


@VERSIONS
def test_who_does_not_read_stops_who_sends(stage, http2):
    """With Google, and with what speaks for it, as a company's own proxy that looks into TLS may do, in HTTP/1.1."""
    path, size = rows("large"), SIZE if http2 else FULL
    with stage(size, http2=http2) as s:
        with s.client() as client:
            asked = client.ask("GET", path)
            until(lambda: client.look() or path in s.google.stalled)

            assert len(client.bodies[asked]) <= OWN
            assert s.google.sent[path] < (WINDOW + OWN if http2 else size / 2)
            assert client.take(asked) == content(path, size)
            assert client.headers[asked][":status"] == "200"
            if http2:
                assert client.trailers[asked] == {"x-checksum": str(len(client.bodies[asked]))}
        assert pages(s.gateway) == {path: ("complete", len(content(path, size)))}


@VERSIONS
def test_answers_on_one_connection_can_be_read_one_after_the_other(stage, http2):
    """Were the whole connection held back, the last could never be read before the first."""
    # With HTTP/1 each has a connection of its own; mitmproxy would open five.
    paths = [rows(f"part{number}") for number in range(4 if http2 else 6)]
    size = SIZE if http2 else FULL // 2
    with stage(size, http2=http2) as s:
        with s.client() as client:
            asked = {path: client.ask("GET", path) for path in paths}
            until(lambda: client.look() or set(paths) <= s.google.stalled)
            for path in reversed(paths):
                assert client.take(asked[path]) == content(path, size)
        assert [state for state, _ in pages(s.gateway).values()] == ["complete"] * len(paths)


def test_a_client_may_leave_an_answer_that_is_held_back(stage):
    left, wanted = rows("left"), rows("wanted")
    with stage(SIZE) as s:
        with s.client() as client:
            asked = client.ask("GET", left)
            until(lambda: client.look() or (client.bodies[asked] and left in s.google.stalled))
            client.cancel(asked)
            until(lambda: left in s.google.reset)
            assert client.take(client.ask("GET", wanted)) == content(wanted, SIZE)
        recorded = pages(s.gateway)
        assert recorded[wanted] == ("complete", len(content(wanted, SIZE)))
        assert recorded[left][0] == "truncated"
        assert 0 < recorded[left][1] <= WINDOW + OWN


@pytest.mark.parametrize("hook", ["request", "responseheaders"])
def test_an_answer_is_not_fetched_for_who_left_while_the_gateway_was_at_work(stage, sleeper, tmp_path, hook):
    path = rows("late")
    with stage(SIZE, sleeper(hook)) as s, s.client() as client:
        asked = client.ask("GET", path)
        until(lambda: client.look() or (tmp_path / "seen").exists())
        client.cancel(asked)
        # What comes after it on the connection comes after the gateway has seen it.
        assert client.take(client.ask("GET", rows("wanted"))) == content(rows("wanted"), SIZE)
        (tmp_path / "go").touch()
        if hook == "responseheaders":
            until(lambda: path in s.google.reset)
        assert client.take(client.ask("GET", rows("another"))) == content(rows("another"), SIZE)
        assert s.google.sent.get(path, 0) <= WINDOW


def test_google_may_break_off_an_answer_that_is_held_back(stage):
    broken, wanted = rows("broken"), rows("wanted")
    with stage(SIZE) as s:
        with s.client() as client:
            asked = client.ask("GET", broken)
            until(lambda: client.look() or (client.bodies[asked] and broken in s.google.stalled))
            s.google.breaks.add(broken)
            until(lambda: client.look() or asked in client.reset)
            assert client.take(client.ask("GET", wanted)) == content(wanted, SIZE)
        assert pages(s.gateway)[broken][0] == "truncated"


def test_a_client_that_is_gone_leaves_nothing_behind(stage):
    """An HTTP/1 connection that is not read just now is closed all the same."""
    path = rows("large")
    with stage(FULL, http2=False) as s:
        with s.client() as client:
            asked = client.ask("GET", path)
            until(lambda: client.look() or (client.bodies[asked] and path in s.google.stalled))
        until(lambda: path in s.google.broken_off)
        until(lambda: path in (found := pages(s.gateway)) and found[path][0] == "truncated")


def test_an_upload_comes_no_faster_than_google_takes_it(stage):
    body = content(UPLOAD, SIZE)
    with stage(SIZE) as s, s.client() as client:
        place = begun(client)
        before = s.google.got[UPLOAD]
        upload = client.ask("PUT", place, body)
        until(lambda: client.look() or s.google.got[UPLOAD] - before == OWN)
        until(lambda: client.look() or not client.room(upload))
        assert len(body) - client.left(upload) <= WINDOW + OWN

        s.google.takes.set()
        client.take(upload)
        assert client.headers[upload][":status"] == "200"
        assert s.google.got[UPLOAD] - before == len(body)
        sizes = "SELECT request_size FROM flows WHERE door = 'jobs.upload' AND state = 'complete'"
        until(lambda: s.gateway.ask(sizes) == [(len(body),)])


def test_an_upload_that_is_answered_early_comes_to_its_end(stage):
    """The client waits for room to send the rest before it looks for the answer's end; mitmproxy for the request's."""
    with stage(SIZE) as s, s.client() as client:
        place = begun(client)
        s.google.hasty = True
        upload = client.ask("PUT", place, content(UPLOAD, SIZE))
        assert client.take(upload) == b"{}"
        assert (client.headers[upload][":status"], client.left(upload)) == ("200", 0)
        until(lambda: UPLOAD in s.google.reset)
        assert client.take(client.ask("GET", rows("next"))) == content(rows("next"), SIZE)


def test_the_answer_stands_when_google_asks_not_to_be_sent_the_rest(stage, sleeper, tmp_path):
    """It does so while the gateway is still busy recording the answer."""
    with stage(SIZE, sleeper("response")) as s, s.client() as client:
        place = begun(client)
        s.google.hasty = True
        upload = client.ask("PUT", place, content(UPLOAD, SIZE))
        until(lambda: client.look() or (tmp_path / "seen").exists())
        s.google.resets = True
        assert client.take(client.ask("GET", rows("next"))) == content(rows("next"), SIZE)
        (tmp_path / "go").touch()
        assert client.take(upload) == b"{}"
        assert (client.headers[upload][":status"], client.left(upload)) == ("200", 0)
        assert not client.reset


def test_an_upload_that_was_taken_back_before_its_turn_is_not_kept(stage):
    """Google takes one request at a time here: the others wait in the gateway."""
    path, body = rows("large"), content(UPLOAD, SIZE)
    with stage(SIZE, at_once=1) as s, s.client() as client:
        place = begun(client)
        first = client.ask("GET", path)
        until(lambda: client.look() or path in s.google.stalled)
        for _ in range(5):
            upload = client.ask("PUT", place, body)
            until(lambda number=upload: client.look() or not client.room(number))
            client.cancel(upload)
        assert client.take(first) == content(path, SIZE)
        assert client.take(client.ask("GET", rows("wanted"))) == content(rows("wanted"), SIZE)
        assert "PUT" not in {method for method, _ in s.google.asked}


def test_a_request_that_is_held_whole_may_be_larger_than_a_window(stage):
    path, body = "/bigquery/v2/projects/acme/datasets/shop/tables/t/insertAll", b'{"rows":[]}'.ljust(SIZE)
    with stage(SIZE) as s, s.client() as client:
        s.google.takes.set()
        asked = client.ask("POST", path, body)
        client.take(asked)
        assert client.headers[asked][":status"] == "200"
        assert s.google.got[path] >= len(body)


SLEEPER = """
import asyncio
from pathlib import Path
from typing import Any

async def {hook}(flow):
    if "late" in flow.request.path or "late" in flow.request.headers or flow.request.method == "PUT":
        Path({seen!r}).touch()
        while not Path({go!r}).exists():
            await asyncio.sleep(0.02)
"""


@pytest.fixture
def sleeper(tmp_path):
    """A script whose hook, of flows that have to wait, waits for the file ``go``, and says in ``seen`` that it does."""

    def made(hook: str) -> Path:
        script = tmp_path / "sleeper.py"
        script.write_text(SLEEPER.format(hook=hook, seen=str(tmp_path / "seen"), go=str(tmp_path / "go")))
        return script

    return made


@VERSIONS
def test_nothing_piles_up_while_an_answer_waits_for_the_gateway_itself(stage, sleeper, tmp_path, http2):
    """For the journal, say, on a disk that is slow."""
    path, size = rows("late"), SIZE if http2 else FULL
    with stage(size, sleeper("responseheaders"), http2=http2) as s, s.client() as client:
        asked = client.ask("GET", path)
        until(lambda: client.look() or (path in s.google.stalled and (tmp_path / "seen").exists()))
        assert s.google.sent[path] < (WINDOW + OWN if http2 else size / 2)
        (tmp_path / "go").touch()
        assert client.take(asked) == content(path, size)


def test_nothing_piles_up_behind_a_request_that_waits(stage, sleeper, tmp_path):
    """A client of HTTP/1.1 that sends on and on, before it has its first answer."""
    path = rows("late")
    with (
        stage(100, sleeper("request"), http2=False) as s,
        bigquery(s.gateway.process.address, s.gateway.config.gateway.certs / "bundle.pem") as raw,
    ):
        request = f"GET {path} HTTP/1.1\r\nHost: {BIGQUERY}\r\nAuthorization: Bearer {s.token}\r\n\r\n".encode()
        raw.connection.sendall(request)
        until((tmp_path / "seen").exists)
        more = memoryview(request * (FULL // len(request)))
        sent = 0
        raw.connection.settimeout(3)
        with suppress(TimeoutError):
            while sent < len(more):
                sent += raw.connection.send(more[sent : sent + 2**20])
        assert sent < FULL / 2
        (tmp_path / "go").touch()
        raw.connection.settimeout(60)
        assert raw.connection.recv(12) == b"HTTP/1.1 200"


def test_a_tunnel_is_read_again_once_it_stands(stage, sleeper, tmp_path):
    """What a client sends before its CONNECT is answered waits too, and is none of TLS here: the gateway says so."""
    with (
        stage(100, sleeper("http_connect")) as s,
        socket.create_connection(s.gateway.process.address, timeout=3) as connection,
    ):
        head = f"CONNECT {BIGQUERY}:443 HTTP/1.1\r\nHost: {BIGQUERY}:443\r\nLate: yes\r\n\r\n"
        connection.sendall(head.encode())
        until((tmp_path / "seen").exists)
        sent = 0
        with suppress(TimeoutError):
            while sent < FULL:
                sent += connection.send(bytes(2**20))
        assert sent < FULL / 2
        (tmp_path / "go").touch()
        connection.settimeout(60)
        with suppress(ConnectionError):
            while connection.recv(2**16):
                pass


def test_an_end_without_data_is_owed_nothing():
    """It would never be given back, and be looked at with each event that comes after it."""
    connection = PacedConnection(H2Configuration(client_side=False))
    connection.acknowledge_received_data(0, 1)
    assert not connection.owed
