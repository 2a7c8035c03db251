"""One local issuer, one set of signing keys and one authenticator a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hoop_mitm.identity import Authenticator, SigningKeys
from tests.identity.local_issuer import CONNECTIONS, Clock, Keyring, LocalIssuer, fetch, settings


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(keyring: Keyring, clock: Clock) -> Iterator[LocalIssuer]:
    """Its tokens are of the time at which the clock began, whatever has passed since."""
    local = LocalIssuer(lambda: clock.began)
    local.add_key("first", keyring.rsa)
    yield local
    local.stop()


@pytest.fixture
def signing_keys(tmp_path: Path) -> SigningKeys:
    return SigningKeys.load_or_create(tmp_path / "state")


@pytest.fixture
def authenticator(issuer: LocalIssuer, signing_keys: SigningKeys, clock: Clock) -> Authenticator:
    return Authenticator(settings(issuer), CONNECTIONS, signing_keys, fetch, clock=clock)
