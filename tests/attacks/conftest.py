"""What several attacks need."""

import pytest

from hoop_mitm.devkit.pki import WorldCA
from tests.attacks.raw import BIGQUERY


@pytest.fixture(scope="module")
def cert(world, tmp_path_factory):
    """A certificate for a BigQuery of one's own, and the bundle that a gateway trusts it with."""
    ca = WorldCA(tmp_path_factory.mktemp("ca"))
    bundle = tmp_path_factory.mktemp("b") / "bundle.pem"
    bundle.write_bytes(world.ca.read_bytes() + ca.certificate.read_bytes())
    return ca.issue("up", (BIGQUERY, "127.0.0.1")), bundle
