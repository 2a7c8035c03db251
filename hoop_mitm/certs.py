"""The gateway's certificate authority: it can vouch for the hosts that the gateway intercepts, and for nothing else.

Whoever trusts it trusts one more signature on Google's BigQuery and token hosts. A critical name constraint keeps it from
being believed for a bank, an intranet, or any address; TLS libraries enforce that, not our good intentions.
"""

import fcntl
import os
import stat
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
from hoop_mitm.config.model import Gateway
from hoop_mitm.errors import ConfigError

LIFETIME = timedelta(days=90)
"""Of an authority, unless hoop.yaml says otherwise."""

RENEW_BEFORE = 14 / 90
"""The share of its life that is left when the next authority is made, and clients are told to trust both."""

SWITCH_BEFORE = 1 / 90
"""The share of its life that is left when the next authority takes over."""

# As mitmproxy does for its leaves: a client's clock may be behind.
_BACKDATED = timedelta(days=2)
_ORGANIZATION = "hoop-mitm"
_KEY = "mitmproxy-ca.pem"
_CERT = "mitmproxy-ca-cert.pem"
_NEXT = "hoop-next-ca.pem"
_BUNDLE = "bundle.pem"

AUTHORITIES = (_KEY, _NEXT)
"""The files of the authority that is in force and of the next one."""

#: What mitmproxy writes beside its authority.
_MITMPROXYS = ("mitmproxy-dhparam.pem", "mitmproxy-ca.p12", "mitmproxy-ca-cert.p12", "mitmproxy-ca-cert.cer")


@dataclass(frozen=True, slots=True)
class CA:
    """A certificate authority in mitmproxy's file layout; its directory is mitmproxy's ``confdir``.

    Attributes:
        directory: holds ``mitmproxy-ca.pem`` (key and certificate, 0600) and the two files below.
        cert: the certificate alone, and that of the next authority once there is one.
        bundle: the machine's roots plus these; what clients are told to trust.
        hosts: the names it may vouch for (and what is below them), sorted.
        made_at, expires_at: aware, UTC.
        fingerprint: SHA-256 of the certificate, in hexadecimal.
        next_fingerprint: of the authority that takes over near the end; ``None`` while there is none.
    """

    directory: Path
    cert: Path
    bundle: Path
    hosts: tuple[str, ...]
    made_at: datetime
    expires_at: datetime
    fingerprint: str
    next_fingerprint: str | None = None

    @property
    def key(self) -> Path:
        """The file that mitmproxy signs with."""
        return self.directory / _KEY

    @property
    def lifetime(self) -> timedelta:
        return self.expires_at - self.made_at


def vouched_for(gateway: Gateway) -> frozenset[str]:
    """The hosts that a gateway's authority signs for: Google's, private ones that hoop.yaml names, and the endpoint's own
    names where it has no certificate."""
    from hoop_mitm.bigquery import INTERCEPTED_HOSTS

    named = frozenset() if gateway.endpoint_certificate else frozenset(gateway.endpoint_names)
    return INTERCEPTED_HOSTS | named | frozenset(gateway.private_hosts)


def ensure_ca(
    directory: Path, hosts: Iterable[str], lifetime: timedelta = LIFETIME, *, now: datetime | None = None
) -> CA:
    """The CA in ``directory``; made when there is none or ``hosts`` changed, renewed near its end.

    Clients that run have read the bundle at their start. So the next authority is made and published well before the
    end (:data:`RENEW_BEFORE`), and signs only at the end (:data:`SWITCH_BEFORE`): whoever was started in between trusts
    both. ``now`` is the time, for those who need another.

    Raises:
        ConfigError: the directory cannot be used, or holds a CA that is not ours (one without constraints could
            sign for any site; it is neither used nor overwritten).
    """
    wanted, now = tuple(sorted(set(hosts))), now or datetime.now(UTC)
    with _alone(directory):
        cert = _held(directory / _KEY)
        if cert is None or _hosts_of(cert) != wanted:
            (directory / _NEXT).unlink(missing_ok=True)
            _make(directory / _KEY, wanted, lifetime, now)
        elif _share_left(cert, now) < SWITCH_BEFORE:
            _switch(directory, wanted, lifetime, now)
        elif _share_left(cert, now) < RENEW_BEFORE:
            _make_next(directory, wanted, lifetime, now)
        return _published(directory)


def renew_ca(directory: Path, hosts: Iterable[str], lifetime: timedelta = LIFETIME, *, at_once: bool = False) -> CA:
    """As :func:`ensure_ca`, with the next authority made now; ``at_once`` it also takes over now.

    Raises:
        ConfigError: as for :func:`ensure_ca`.
    """
    wanted, now = tuple(sorted(set(hosts))), datetime.now(UTC)
    ensure_ca(directory, wanted, lifetime)
    with _alone(directory):
        _make_next(directory, wanted, lifetime, now)
        if at_once:
            _switch(directory, wanted, lifetime, now)
        return _published(directory)


def read_ca(directory: Path) -> CA | None:
    """The CA in ``directory``, or ``None``; nothing is made.

    Raises:
        ConfigError: as for :func:`ensure_ca`.
    """
    if not (directory / _KEY).exists():
        return None
    with _alone(directory):
        return _published(directory)


def remove_ca(directory: Path) -> bool:
    """Deletes the CA and all that was made with it; whether there was one. A gateway that runs goes on with its own.

    Raises:
        ConfigError: it is not ours, and left alone; or it cannot be deleted.
    """
    with _alone(directory):
        found = _held(directory / _KEY) is not None
        for name in (_KEY, _CERT, _NEXT, _BUNDLE, *_MITMPROXYS):
            (directory / name).unlink(missing_ok=True)
    (directory / ".lock").unlink(missing_ok=True)
    return found


def _held(key_file: Path) -> x509.Certificate | None:
    return _ours(key_file) if key_file.exists() else None


def _make_next(directory: Path, hosts: tuple[str, ...], lifetime: timedelta, now: datetime) -> None:
    following = _held(directory / _NEXT)
    if following is None or _hosts_of(following) != hosts or _share_left(following, now) < RENEW_BEFORE:
        _make(directory / _NEXT, hosts, lifetime, now)


def _switch(directory: Path, hosts: tuple[str, ...], lifetime: timedelta, now: datetime) -> None:
    _make_next(directory, hosts, lifetime, now)
    (directory / _NEXT).replace(directory / _KEY)


def _published(directory: Path) -> CA:
    """What is there, with the files for clients brought up to date."""
    cert, following = _ours(directory / _KEY), _held(directory / _NEXT)
    (directory / _KEY).chmod(0o600)
    _write(directory / _CERT, b"".join(_pem(each) for each in (cert, following) if each), 0o644)
    bundle = combined_bundle(directory / _BUNDLE, directory / _CERT)
    return CA(
        directory=directory,
        cert=directory / _CERT,
        bundle=bundle,
        hosts=_hosts_of(cert),
        made_at=cert.not_valid_before_utc + _BACKDATED,
        expires_at=cert.not_valid_after_utc,
        fingerprint=cert.fingerprint(hashes.SHA256()).hex(),
        next_fingerprint=following.fingerprint(hashes.SHA256()).hex() if following else None,
    )


def _share_left(cert: x509.Certificate, now: datetime) -> float:
    made_at, expires_at = cert.not_valid_before_utc + _BACKDATED, cert.not_valid_after_utc
    return (expires_at - now) / max(expires_at - made_at, timedelta(seconds=1))


def _make(key_file: Path, hosts: tuple[str, ...], lifetime: timedelta, now: datetime) -> None:
    # mitmproxy signs its leaves with, and serves them under, this same key. P-256 makes that handshake ten times
    # cheaper than RSA, and the clients that we know (Python, gRPC, Node, Go, bq) take it.
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"hoop-mitm gateway, made {now:%Y-%m-%d %H:%M:%S}"),
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
        .not_valid_after(now + lifetime)
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


def _ours(key_file: Path) -> x509.Certificate:
    """The certificate in ``key_file``, if we made it."""
    with key_file.open("rb") as file:
        status, data = os.fstat(file.fileno()), file.read()
    # Clients would trust whatever somebody else has put there.
    owners = (os.geteuid(), 0, key_file.parent.stat().st_uid)
    if status.st_uid not in owners or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{key_file} belongs to another user, or other users can write it: they could have planted the authority "
            "that clients trust. Look at what is there, then remove it, and a new one is made."
        )
    try:
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
    """Two gateways that start at once must not each make an authority.

    Raises:
        ConfigError: the directory cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ConfigError(
            f"The directory for the certificate authority, {directory}, cannot be used ({error.strerror}). "
            "Name a directory that you can write to under gateway.certs."
        ) from error
