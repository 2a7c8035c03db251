"""The gateway's certificate authority: it can vouch for the hosts that the gateway intercepts, and for nothing else.

Whoever trusts it trusts one more signature on Google's BigQuery hosts. A critical name constraint keeps it from
being believed for a bank, an intranet, or any address; TLS libraries enforce that, not our good intentions.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from hoop_mitm.client.bundle import combined_bundle
from hoop_mitm.errors import ConfigError

LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=14)

# As mitmproxy does for its leaves: a client's clock may be behind.
_BACKDATED = timedelta(days=2)
_ORGANIZATION = "hoop-mitm"


@dataclass(frozen=True, slots=True)
class CA:
    """A certificate authority in mitmproxy's file layout; its directory is mitmproxy's ``confdir``.

    Attributes:
        directory: holds ``mitmproxy-ca.pem`` (key and certificate, 0600) and the two files below.
        cert: the certificate alone.
        bundle: the machine's roots plus the certificate; what clients are told to trust.
        hosts: the names it may vouch for (and what is below them), sorted.
        expires_at: aware, UTC.
    """

    directory: Path
    cert: Path
    bundle: Path
    hosts: tuple[str, ...]
    expires_at: datetime


def ensure_ca(directory: Path, hosts: Iterable[str]) -> CA:
    """The CA in ``directory``; made when there is none, renewed near its end or when ``hosts`` changed.

    Clients that run read the bundle at their start, so a renewal reaches them with their next one.

    Raises:
        ConfigError: the directory cannot be used, or holds a CA that is not ours (one without constraints could
            sign for any site; it is neither used nor overwritten).
    """
    wanted = tuple(sorted(set(hosts)))
    key_file, cert_file = directory / "mitmproxy-ca.pem", directory / "mitmproxy-ca-cert.pem"
    try:
        with _alone(directory):
            cert = _ours(key_file) if key_file.exists() else None
            if cert is None or _hosts_of(cert) != wanted or cert.not_valid_after_utc - datetime.now(UTC) < RENEW_BEFORE:
                cert = _make(key_file, wanted)
            key_file.chmod(0o600)
            _write(cert_file, _pem(cert), 0o644)
            bundle = combined_bundle(directory / "bundle.pem", cert_file)
    except OSError as error:
        raise ConfigError(
            f"The directory for the certificate authority, {directory}, cannot be used ({error.strerror}). "
            "Name a directory that you can write to under gateway.certs."
        ) from error
    return CA(directory, cert_file, bundle, wanted, cert.not_valid_after_utc)


def _make(key_file: Path, hosts: tuple[str, ...]) -> x509.Certificate:
    # mitmproxy signs its leaves with, and serves them under, this same key. P-256 makes that handshake ten times
    # cheaper than RSA, and the clients that we know (Python, gRPC, Node, Go, bq) take it.
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"hoop-mitm gateway, made {now:%Y-%m-%d %H:%M}"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, _ORGANIZATION),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(host) for host in hosts],
        # RFC 5280, 4.2.1.10: a constraint says nothing of other kinds of names, so addresses are shut out by name.
        excluded_subtrees=[x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))],
    )
    cert = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(name)
        .issuer_name(name)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFETIME)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(key_file, secret + _pem(cert), 0o600)
    return cert


def _ours(key_file: Path) -> x509.Certificate:
    """The certificate in ``key_file``, if we made it."""
    try:
        data = key_file.read_bytes()
        cert = x509.load_pem_x509_certificate(data)
        intact = load_pem_private_key(data, None).public_key() == cert.public_key()
        organizations = [name.value for name in cert.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]
    except (ValueError, TypeError):
        intact, organizations = False, []
    if not intact:
        raise ConfigError(
            f"{key_file} is not a key with its certificate. Remove the file, and a new authority is made; "
            "or name another directory under gateway.certs."
        )
    if organizations != [_ORGANIZATION] or not _hosts_of(cert):
        raise ConfigError(
            f"{key_file} is an authority that hoop-mitm did not make, and that may sign for any site. It is left "
            "alone: name another directory under gateway.certs."
        )
    return cert


def _hosts_of(cert: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = cert.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return ()
    permitted = extension.value.permitted_subtrees or ()
    return tuple(sorted(str(name.value) for name in permitted)) if extension.critical else ()


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(Encoding.PEM)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace ``path`` in one step; the file never exists with more permissions than ``mode``."""
    if path.is_file() and path.read_bytes() == data:
        return
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
        file.write(data)
    temporary.replace(path)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two gateways that start at once must not each make an authority."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
