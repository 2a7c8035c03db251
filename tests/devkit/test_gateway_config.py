"""Somebody's own hoop.yaml in the sandbox: what holds of it, and what the sandbox knows better."""

from pathlib import Path

import pytest

from hoop_mitm.config import Config, Federation, ServiceAccountKey, load
from hoop_mitm.devkit.gateway_config import connection_for, for_sandbox, write

KEY = {"type": "service_account", "key_file": "key.json"}

WORLD = Config.model_validate(
    {
        "gateway": {"upstream": {"ca": "/world/ca.pem", "hosts": {"bigquery.googleapis.com": "127.0.0.1:4443"}}},
        "identity": {"issuers": [{"issuer": "https://127.0.0.1:9000", "audiences": ["hoop-mitm"]}]},
        "connections": [
            {
                "name": "acme",
                "projects": ["acme"],
                "credential": {"type": "service_account", "key_file": "/world/sa.json"},
            }
        ],
    }
)

OWN = """
gateway:
  listen: 0.0.0.0:443
  others: refuse
  certs: /etc/hoop/certs
  upstream: {proxy: "http://proxy.example:3128"}
identity:
  issuers: [{issuer: "https://login.example", audiences: [bigquery]}]
  session_tokens: {lifetime: 20m}
connections:
  - name: reports
    projects: [prod-reports]
    credential: {type: service_account, key_file: missing.json}
    recording: statements
    groups: [analysts]
  - name: people
    projects: [prod-people]
    credential: {type: federation, audience: "//iam.googleapis.com/locations/global/workforcePools/p/providers/q"}
recording:
  directory: /var/lib/hoop
  fold_interval: 5s
"""


@pytest.fixture
def own(tmp_path: Path) -> Config:
    (tmp_path / "own.yaml").write_text(OWN)
    return load(tmp_path / "own.yaml")


def merged(own: Config | None) -> Config:
    return for_sandbox(
        WORLD, own, listen="127.0.0.1:5000", directory=Path("/s/gateway"), recordings=Path("/s/recordings")
    )


@pytest.mark.parametrize("with_own", [True, False])
def test_the_sandbox_knows_where_things_are(own, with_own):
    config = merged(own if with_own else None)
    assert config.gateway.listen == "127.0.0.1:5000"
    assert config.gateway.certs == Path("/s/gateway/certs")
    assert config.gateway.state == Path("/s/gateway/state")
    assert config.gateway.upstream == WORLD.gateway.upstream
    assert config.identity.issuers == WORLD.identity.issuers
    assert config.recording.directory == Path("/s/recordings")


def test_the_rest_is_the_users_word(own):
    config = merged(own)
    assert config.gateway.others == "refuse"
    assert config.identity.session_tokens == own.identity.session_tokens
    assert config.recording.fold_interval == own.recording.fold_interval
    assert [c.name for c in config.connections] == ["reports", "people"]
    assert config.connections[0].recording == "statements"
    assert config.connections[0].groups == ("analysts",)


def test_credentials_are_the_worlds_and_federation_stays_federation(own):
    first, second = (connection.credential for connection in merged(own).connections)
    assert first == ServiceAccountKey(type="service_account", key_file=Path("/world/sa.json"))
    assert isinstance(second, Federation)
    assert second.audience != own.connections[1].credential.audience


def test_a_connection_covers_the_worlds_project(own):
    assert merged(own).connections[0].projects == ("prod-reports", "acme")
    assert connection_for(merged(own), "acme") == "reports"
    assert merged(None).connections == WORLD.connections


def test_a_project_that_is_covered_already_stays_where_it_is(own):
    people = own.connections[1].model_copy(update={"projects": ("acme",)})
    config = merged(own.model_copy(update={"connections": (own.connections[0], people)}))
    assert connection_for(config, "acme") == "people"
    assert config.connections[0].projects == ("prod-reports",)


def test_what_is_written_is_what_the_gateway_reads(own, tmp_path):
    config = merged(own)
    assert load(write(config, tmp_path / "hoop.yaml")) == config
