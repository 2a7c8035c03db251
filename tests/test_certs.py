"""The certificate authority, held to its promise by the TLS libraries that clients use."""

import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from mitmproxy.certs import CertStore

from hoop_mitm.certs import ensure_ca, read_ca, remove_ca, renew_ca
from hoop_mitm.errors import ConfigError
from tests.another_user import USER, needs_root

HOSTS = ("bigquery.googleapis.com", "sts.googleapis.com")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "certs"


class TlsServer:
    """Serves one name with a leaf that mitmproxy itself makes from our authority."""

    def __init__(self, directory: Path, name: x509.GeneralName) -> None:
        store = CertStore.from_store(directory, "mitmproxy", 2048)
        entry = store.get_cert(str(name.value), [name])
        chain, key = directory / "leaf.pem", directory / "mitmproxy-ca.pem"
        chain.write_bytes(entry.cert.to_pem() + store.default_ca.to_pem())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _serve(self) -> None:
        try:
            client, _ = self.socket.accept()
            client.settimeout(60)
            with self.context.wrap_socket(client, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            pass  # A client that refuses us hangs up: that is what half of the tests want.


def python_says(bundle: Path, port: int, name: str) -> str:
    context = ssl.create_default_context(cafile=str(bundle))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # The default from Python 3.13 on.
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            tls.send(b".")
            return "accepted"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


def openssl_says(bundle: Path, port: int, name: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-verify_hostname", name]
    run = subprocess.run(
        [*command, "-CAfile", bundle, "-verify_return_error"], input=b".", capture_output=True, timeout=60, check=False
    )
    output = (run.stdout + run.stderr).decode()
    return "accepted" if "Verify return code: 0 (ok)" in output else output


def node_says(bundle: Path, port: int, name: str) -> str:
    script = f"""
        const s = require('tls').connect({{host: '127.0.0.1', port: {port}, servername: '{name}'}}, () => {{
            console.log('accepted'); s.end('.'); }});
        s.on('error', e => console.log(e.code + ' ' + e.message));"""
    run = subprocess.run(
        ["node", "-e", script], env={"NODE_EXTRA_CA_CERTS": str(bundle), "PATH": ""}, executable=shutil.which("node"),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return run.stdout.strip()


def curl_says(bundle: Path, port: int, name: str) -> str:
    url = f"https://{name}:{port}/"
    run = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", bundle, "--max-time", "60",
         "--resolve", f"{name}:{port}:127.0.0.1", url],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.stderr.strip() if run.returncode in (60, 35) else "accepted"


def grpc_says(bundle: Path, port: int, name: str) -> str:
    """BoringSSL, through grpcio's own verification."""
    import grpc

    channel = grpc.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(bundle.read_bytes()),
        options=[("grpc.ssl_target_name_override", name), ("grpc.enable_http_proxy", 0)],
    )
    try:
        channel.unary_unary("/a/b")(b"", timeout=60)
    except grpc.RpcError as error:
        # An accepted handshake fails later: the server of this test speaks no HTTP/2.
        refused = "CERTIFICATE_VERIFY_FAILED" in error.details()
        return error.details() if refused else "accepted"
    finally:
        channel.close()
    return "accepted"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


CLIENTS = [
    pytest.param(python_says, id="python"),
    pytest.param(openssl_says, id="openssl", marks=needs("openssl")),
    pytest.param(node_says, id="node", marks=needs("node")),
    pytest.param(curl_says, id="curl", marks=needs("curl")),
    pytest.param(grpc_says, id="grpc"),
]


@pytest.mark.parametrize("client_says", CLIENTS)
@pytest.mark.parametrize("name", HOSTS)
def test_a_leaf_for_an_intercepted_host_is_accepted(directory, client_says, name):
    ca = ensure_ca(directory, HOSTS)
    with TlsServer(directory, x509.DNSName(name)) as server:
        assert client_says(ca.bundle, server.port, name) == "accepted"


@pytest.mark.parametrize("client_says", CLIENTS)
@pytest.mark.parametrize(
    "name",
    ["example.com", "accounts.google.com", "googleapis.com", "evilbigquery.googleapis.com", "storage.googleapis.com"],
)
def test_a_leaf_for_any_other_host_is_refused(directory, client_says, name):
    ca = ensure_ca(directory, HOSTS)
    with TlsServer(directory, x509.DNSName(name)) as server:
        assert client_says(ca.bundle, server.port, name) != "accepted"


def test_python_names_the_constraint_as_its_reason(directory):
    ca = ensure_ca(directory, HOSTS)
    with TlsServer(directory, x509.DNSName("example.com")) as server:
        assert python_says(ca.bundle, server.port, "example.com") == "permitted subtree violation"


@pytest.mark.parametrize("client_says", [python_says, pytest.param(openssl_says, marks=needs("openssl"))])
def test_a_leaf_for_an_address_is_refused(directory, client_says):
    from ipaddress import ip_address

    ca = ensure_ca(directory, HOSTS)
    with TlsServer(directory, x509.IPAddress(ip_address("127.0.0.1"))) as server:
        assert client_says(ca.bundle, server.port, "127.0.0.1") != "accepted"


def test_only_the_owner_can_read_the_key(directory):
    ensure_ca(directory, HOSTS)
    assert stat.S_IMODE((directory / "mitmproxy-ca.pem").stat().st_mode) == 0o600


def test_what_clients_are_given_holds_no_key(directory):
    ca = ensure_ca(directory, HOSTS)
    assert "PRIVATE KEY" not in ca.cert.read_text() + ca.bundle.read_text()


def test_the_constraint_is_critical_and_the_life_short(directory):
    ca = ensure_ca(directory, HOSTS)
    cert = x509.load_pem_x509_certificate(ca.cert.read_bytes())
    assert cert.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert timedelta(days=89) < ca.expires_at - datetime.now(UTC) <= timedelta(days=90)
    assert ca.hosts == HOSTS


def test_a_second_start_changes_nothing(directory):
    first = ensure_ca(directory, HOSTS)
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    assert ensure_ca(directory, reversed(HOSTS)) == first
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


TIMES = [
    # days before its end, whether the next one is published, whether it has taken over
    (80, False, False),
    (15, False, False),
    (13, True, False),
    (2, True, False),
    (0.9, False, True),
    (-1, False, True),
    (-400, False, True),
]


@pytest.mark.parametrize(("left", "published", "taken_over"), TIMES)
def test_the_next_one_is_published_well_before_it_takes_over(directory, left, published, taken_over):
    old = ensure_ca(directory, HOSTS)
    old_cert = old.cert.read_text()

    new = ensure_ca(directory, HOSTS, now=old.expires_at - timedelta(days=left))

    assert (new.next_fingerprint is not None) is published
    assert (new.fingerprint != old.fingerprint) is taken_over
    assert new.cert.read_text() in new.bundle.read_text(), "clients are told of both"
    assert (old_cert in new.bundle.read_text()) is not taken_over


def test_who_was_started_before_the_switch_trusts_what_comes_after_it(directory):
    now = datetime.now(UTC)
    ensure_ca(directory, HOSTS, now=now - timedelta(days=89.5))
    before = ensure_ca(directory, HOSTS, now=now - timedelta(days=5))
    bundle = directory / "as-it-was.pem"
    bundle.write_bytes(before.bundle.read_bytes())

    after = ensure_ca(directory, HOSTS, now=now)

    assert after.fingerprint == before.next_fingerprint
    with TlsServer(directory, x509.DNSName(HOSTS[0])) as server:
        assert python_says(bundle, server.port, HOSTS[0]) == "accepted"


def test_the_next_one_is_for_its_owners_eyes_and_constrained_too(directory):
    ca = renew_ca(directory, HOSTS)
    key = directory / "hoop-next-ca.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    cert = x509.load_pem_x509_certificate(key.read_bytes())
    assert cert.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert "PRIVATE KEY" not in ca.cert.read_text() + ca.bundle.read_text()


def test_renewed_by_hand(directory):
    old = ensure_ca(directory, HOSTS)
    prepared = renew_ca(directory, HOSTS)
    again = renew_ca(directory, HOSTS)
    done = renew_ca(directory, HOSTS, at_once=True)
    assert old.fingerprint == prepared.fingerprint
    assert prepared == again, "there is only one next one"
    assert done.fingerprint == prepared.next_fingerprint
    assert done.next_fingerprint is None


def test_its_life_may_be_shorter(directory):
    ca = ensure_ca(directory, HOSTS, timedelta(days=7))
    assert ca.lifetime == timedelta(days=7)


def test_removed_with_all_that_was_made_of_it(directory):
    ensure_ca(directory, HOSTS)
    renew_ca(directory, HOSTS)
    CertStore.from_store(directory, "mitmproxy", 2048)
    (directory / "README.md").write_text("not ours")
    assert remove_ca(directory)
    assert [file.name for file in directory.iterdir()] == ["README.md"]
    assert not remove_ca(directory)
    assert read_ca(directory) is None


def test_somebody_elses_is_not_removed(directory):
    CertStore.create_store(directory, "mitmproxy", 2048)
    with pytest.raises(ConfigError, match="left alone"):
        remove_ca(directory)
    assert (directory / "mitmproxy-ca.pem").exists()


def test_it_is_made_anew_when_other_hosts_are_intercepted(directory):
    ensure_ca(directory, HOSTS)
    assert ensure_ca(directory, [*HOSTS, "bigquerystorage.googleapis.com"]).hosts == (
        "bigquery.googleapis.com", "bigquerystorage.googleapis.com", "sts.googleapis.com",
    )  # fmt: skip


def test_an_authority_of_somebody_else_is_neither_used_nor_overwritten(directory):
    CertStore.create_store(directory, "mitmproxy", 2048)
    before = (directory / "mitmproxy-ca.pem").read_bytes()
    with pytest.raises(ConfigError, match="may sign for any site"):
        ensure_ca(directory, HOSTS)
    assert (directory / "mitmproxy-ca.pem").read_bytes() == before


def test_a_broken_file_is_named(directory):
    directory.mkdir()
    (directory / "mitmproxy-ca.pem").write_text("-----BEGIN nonsense")
    with pytest.raises(ConfigError, match=r"mitmproxy-ca\.pem is not a key with its certificate"):
        ensure_ca(directory, HOSTS)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"gateway\.certs"):
        ensure_ca(tmp_path / "file" / "certs", HOSTS)


def test_gateways_that_start_together_agree_on_one(directory):
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(ensure_ca(directory, HOSTS).cert.read_text())) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert len(set(made)) == 1


@pytest.mark.parametrize("name", ["mitmproxy-ca.pem", "hoop-next-ca.pem"])
@pytest.mark.parametrize("planted", ["writable for others", pytest.param("another user's", marks=needs_root)])
def test_an_authority_that_others_could_have_planted_is_not_published(directory: Path, name: str, planted: str) -> None:
    renew_ca(directory, HOSTS)
    before = (directory / "mitmproxy-ca-cert.pem").read_bytes()
    if planted == "another user's":
        os.chown(directory / name, USER, -1)
    else:
        (directory / name).chmod(0o666)
    for ask in (lambda: ensure_ca(directory, HOSTS), lambda: read_ca(directory)):
        with pytest.raises(ConfigError, match="planted"):
            ask()
    assert (directory / "mitmproxy-ca-cert.pem").read_bytes() == before
