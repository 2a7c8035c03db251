"""The authority is renewed while the gateway runs, by itself or by hand, and clients that were told in time notice
nothing."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hoop_mitm.certs import CA, read_ca
from hoop_mitm.devkit.world import World
from hoop_mitm.recording.layout import replace_durably
from tests.attacks.raw import bigquery
from tests.attacks.tokens import DATASETS
from tests.gateways import RunningGateway
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def own(world: World, tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(world, tmp_path) as running:
        yield running


def ca_of(gateway: RunningGateway) -> CA:
    found = read_ca(gateway.config.gateway.certs)
    assert found
    return found


def asks(gateway: RunningGateway, bundle: Path) -> str:
    """The key of the authority that a client with this bundle was served under; two may have one name."""
    with bigquery(gateway.process.address, bundle) as raw:
        assert raw.request("GET", DATASETS, token=gateway.world.issuer.token("alice")).status == 200
        leaf = x509.load_der_x509_certificate(raw.connection.getpeercert(binary_form=True))  # type: ignore[attr-defined]
    return str(leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier)


def trusted(gateway: RunningGateway, bundle: Path) -> bool:
    """Whether the gateway is served under an authority of this bundle already: it takes up a new one with its next look."""
    try:
        asks(gateway, bundle)
    except ssl.SSLCertVerificationError:
        return False
    return True


def copy(gateway: RunningGateway, name: str) -> Path:
    """The bundle as a client read it that was started now."""
    place = gateway.directory / name
    place.write_bytes(ca_of(gateway).bundle.read_bytes())
    return place


def renew(gateway: RunningGateway, *more: str) -> None:
    command = [sys.executable, "-m", "hoop_mitm.cli", "ca", "renew", "--config", str(gateway.config_file), *more]
    subprocess.run(command, check=True, capture_output=True)


def test_by_hand_and_who_was_started_in_between_trusts_both(own: RunningGateway) -> None:
    early = copy(own, "early.pem")
    first = asks(own, early)
    renew(own)
    told = copy(own, "told.pem")
    assert asks(own, told) == asks(own, early) == first, "the next one is published, and signs nothing yet"
    # It has seen that one: else it would tell of the last change alone.
    until(lambda: "is published to clients" in own.log.read_text())
    renew(own, "--now")
    until(lambda: asks(own, told) != first)
    with pytest.raises(OSError, match="certificate"):
        asks(own, early)
    found = own.ask("SELECT type FROM events WHERE type LIKE 'ca.%' ORDER BY id")
    assert found == [("ca.published",), ("ca.renewed",)]


def aged(directory: Path, left: float) -> CA:
    """The authority of a gateway, as if it had been made earlier: it ends in so many seconds. Its key is the same."""
    key_file = directory / "mitmproxy-ca.pem"
    data = key_file.read_bytes()
    key, cert = load_pem_private_key(data, None), x509.load_pem_x509_certificate(data)
    assert isinstance(key, EllipticCurvePrivateKey)
    by = cert.not_valid_after_utc - datetime.now(UTC) - timedelta(seconds=left)
    builder = (
        x509.CertificateBuilder(cert.issuer, cert.subject, cert.public_key(), cert.serial_number)
        .not_valid_before(cert.not_valid_before_utc - by)
        .not_valid_after(cert.not_valid_after_utc - by)
    )
    for extension in cert.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    replace_durably(key_file, secret + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    found = read_ca(directory)
    assert found
    return found


def test_by_itself_before_it_ends(world: World, tmp_path: Path) -> None:
    """It lives for so long that no busy machine is too slow, and grows old at once."""
    with RunningGateway(world, tmp_path, gateway={"ca_lifetime": "1000s"}) as gateway:
        early = copy(gateway, "early.pem")
        began = asks(gateway, early)
        first = aged(gateway.config.gateway.certs, 150)
        until(lambda: ca_of(gateway).next_fingerprint)
        assert ca_of(gateway).fingerprint == first.fingerprint, "clients are told while the old one is good"
        told = copy(gateway, "told.pem")
        assert asks(gateway, told) == began
        last = aged(gateway.config.gateway.certs, 4)
        until(lambda: ca_of(gateway).fingerprint not in {first.fingerprint, last.fingerprint})
        until(lambda: asks(gateway, told) != began)
        until(lambda: datetime.now(UTC) > last.expires_at)
        assert asks(gateway, told) != began
        assert ca_of(gateway).expires_at > datetime.now(UTC)


def test_an_authority_that_is_removed_is_never_replaced_by_one_without_constraints(own: RunningGateway) -> None:
    bundle = copy(own, "client.pem")
    before = asks(own, bundle)
    certs = own.config.gateway.certs
    command = [sys.executable, "-m", "hoop_mitm.cli", "ca", "remove", "--yes", "--config", str(own.config_file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "delete-certificate" in done.stderr
    # It is published after the key is there.
    until((certs / "mitmproxy-ca-cert.pem").exists)
    made = x509.load_pem_x509_certificate((certs / "mitmproxy-ca-cert.pem").read_bytes())
    assert made.extensions.get_extension_for_class(x509.NameConstraints).critical
    until(lambda: trusted(own, copy(own, "new.pem")))
    assert asks(own, copy(own, "new.pem")) != before
