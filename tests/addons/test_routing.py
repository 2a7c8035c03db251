"""A token that came to the proxy in the clear is not accepted; where it came over TLS, or from this machine, it is."""

import asyncio
from pathlib import Path

import pytest
from mitmproxy.test import tflow

from hoop_mitm.addons.endpoint import Endpoint
from hoop_mitm.addons.identity import Identity
from hoop_mitm.addons.routing import Routing
from hoop_mitm.addons.services import Services
from hoop_mitm.addons.strip import Strip
from hoop_mitm.config import load

YAML = """
gateway: {listen: '127.0.0.1:0', others: refuse}
identity: {issuers: [{issuer: 'https://127.0.0.1:1', audiences: [x]}]}
connections: [{name: acme, projects: [acme], credential: {type: adc}}]
"""

CARRIERS = [
    # address of the client, TLS between it and the gateway, inner bearer, why it is refused
    ("192.0.2.7", False, None, "identity.exposed"),
    ("192.0.2.7", False, "ya29.google", "identity.exposed"),
    ("192.0.2.7", True, None, "identity.malformed"),
    ("127.0.0.1", False, None, "identity.malformed"),
    ("::1", False, None, "identity.malformed"),
    ("192.0.2.7", False, "eyJ.inner", "identity.malformed"),
]


@pytest.mark.parametrize(("address", "tls", "inner", "rule"), CARRIERS)
def test_a_proxys_token_in_the_clear_is_refused_and_any_other_is_looked_at(
    tmp_path: Path, address: str, tls: bool, inner: str | None, rule: str
) -> None:
    (tmp_path / "hoop.yaml").write_text(YAML)

    async def ask() -> str:
        services = Services(load(tmp_path / "hoop.yaml"))
        flow = tflow.tflow()
        flow.client_conn.peername = (address, 50000)
        flow.client_conn.timestamp_tls_setup = 1.0 if tls else None
        flow.request.host, flow.request.port = "bigquery.googleapis.com", 443
        flow.request.headers["proxy-authorization"] = "Bearer eyJ.outer"
        await Routing(services, Endpoint(services)).http_connect(flow)
        assert "proxy-authorization" not in flow.request.headers
        if inner:
            flow.request.headers["authorization"] = f"Bearer {inner}"
        Strip(services).requestheaders(flow)
        await Identity(services).requestheaders(flow)
        ticket = services.tickets.of(flow)
        assert ticket
        assert ticket.verdict
        return ticket.verdict.rule

    assert asyncio.run(ask()) == rule
