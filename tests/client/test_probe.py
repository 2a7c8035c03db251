"""Who listens: the gateway by its certificate, whatever else by its lack of one, also behind TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hoop_mitm.certs import ensure_ca
from hoop_mitm.client.probe import probe
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.pki import WorldCA
from tests.gateways import RunningGateway

_PATIENCE = 60.0


@pytest.fixture
def ca(gateway: RunningGateway) -> Path:
    return gateway.config.gateway.certs / "mitmproxy-ca-cert.pem"


class Listener:
    """Accepts, and answers each connection with ``answer``; or hands it on to ``target`` behind TLS."""

    def __init__(self, answer: bytes = b"", target: tuple[str, int] | None = None, tls: ssl.SSLContext | None = None):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.heard = b""
        self._answer, self._target, self._tls = answer, target, tls
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with suppress(OSError):
                    self._one(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection)

    def _one(self, connection: socket.socket) -> None:
        if self._target is None:
            with connection:
                self.heard += connection.recv(4096)
                if self._answer:
                    connection.sendall(self._answer)
                    self.heard += connection.recv(4096)
            return
        onward = socket.create_connection(self._target)
        threading.Thread(target=pump, args=(onward, connection), daemon=True).start()
        pump(connection, onward)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.close()


@pytest.fixture
def listener() -> Iterator[list[Listener]]:
    made: list[Listener] = []
    yield made
    for each in made:
        each.socket.close()


def test_the_gateway_is_known_by_its_authority(gateway: RunningGateway, ca: Path) -> None:
    assert probe(gateway.url, ca, timeout=_PATIENCE).listener == "gateway"


def test_another_gateway_is_a_stranger(gateway: RunningGateway, tmp_path: Path) -> None:
    other = ensure_ca(tmp_path, ["bigquery.googleapis.com"])
    found = probe(gateway.url, other.cert, timeout=_PATIENCE)
    assert (found.listener, bool(found)) == ("stranger", False)
    assert "no certificate of this gateway's authority" in found.why


def test_a_closed_port_is_nobody(ca: Path) -> None:
    assert probe(f"http://127.0.0.1:{free_port()}", ca).listener == "nobody"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "does not speak as a proxy"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "lets nobody through"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "lets nobody through"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello, this is no TLS", "does not speak as a proxy"),
        (b"x" * 20_000, "does not speak as a proxy"),
    ],
    ids=["hangs up", "ssh", "407", "no tls", "endless"],
)
def test_whatever_else_listens_is_a_stranger_and_hears_nothing_of_us(
    ca: Path, listener: list[Listener], answer: bytes, why: str
) -> None:
    listener.append(Listener(answer))
    found = probe(f"http://127.0.0.1:{listener[0].port}", ca, timeout=_PATIENCE)
    assert (found.listener, why in found.why) == ("stranger", True), found.why
    first = listener[0].heard.split(b"\r\n\r\n")[0]
    assert first == b"CONNECT bigquery.googleapis.com:443 HTTP/1.1\r\nHost: bigquery.googleapis.com:443"


def test_who_says_nothing_is_not_waited_for(ca: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert probe(f"http://127.0.0.1:{silent.getsockname()[1]}", ca, timeout=0.3).listener == "stranger"


def test_a_gateway_behind_tls_is_known_too(
    gateway: RunningGateway, ca: Path, tmp_path: Path, listener: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    company = WorldCA(tmp_path)
    certificate = company.issue("gateway", ("127.0.0.1", "localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    listener.append(Listener(target=gateway.process.address, tls=context))
    url = f"https://localhost:{listener[0].port}"
    monkeypatch.setenv("SSL_CERT_FILE", str(company.certificate))
    assert probe(url, ca, timeout=_PATIENCE).listener == "gateway"
    monkeypatch.delenv("SSL_CERT_FILE")
    found = probe(url, ca, timeout=_PATIENCE)
    assert (found.listener, "its own TLS certificate is not trusted here" in found.why) == ("stranger", True)
