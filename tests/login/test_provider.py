"""The issuer is reached as this machine reaches the world: never through the gateway, which needs the answer first."""

import pytest

from hoop_mitm.login.profile import CHAINED
from hoop_mitm.login.provider import outside

GATEWAY = "http://127.0.0.1:8080"
COMPANY = "http://proxy.acme.example:3128"

WAYS = [
    # what the environment says, the proxy that is used
    ({}, None),
    ({"HTTPS_PROXY": COMPANY}, COMPANY),
    ({"https_proxy": GATEWAY}, None),
    ({"https_proxy": GATEWAY + "/"}, None),
    ({"https_proxy": GATEWAY, CHAINED: COMPANY}, COMPANY),
    ({"all_proxy": COMPANY}, COMPANY),
]


@pytest.mark.parametrize(("environment", "proxy"), WAYS)
def test_the_way_out(profile, monkeypatch, environment, proxy):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", CHAINED):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = outside(profile, environment)
    assert session.proxies.get("https") == proxy
    assert not session.trust_env


def test_roots_of_the_machine_count_where_the_profile_names_none(profile, tmp_path):
    roots = tmp_path / "roots.pem"
    bare = profile.model_copy(update={"ca": None})
    assert outside(bare, {"SSL_CERT_FILE": str(roots)}).verify == str(roots)
    assert outside(profile, {"SSL_CERT_FILE": str(roots)}).verify == str(profile.ca)
    assert outside(bare, {}).verify is True
