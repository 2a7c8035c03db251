from pathlib import Path

import pytest

from hoop_mitm.config import Config
from hoop_mitm.standing import standing

KEY = {"type": "service_account", "key_file": Path("key.json")}
FEDERATION = {"type": "federation", "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/q"}
IMPERSONATION = {"type": "impersonation", "service_account": "sa@acme.iam.gserviceaccount.com"}


def config(listen: str, *credentials: dict[str, object], **gateway: object) -> Config:
    return Config.model_validate(
        {
            "gateway": {"listen": listen, "others": "refuse", **gateway},
            "identity": {"issuers": [{"issuer": "https://login.acme.example", "audiences": ["hoop-mitm"]}]},
            "connections": [
                {"name": f"c{number}", "projects": [f"project-{number}"], "credential": credential}
                for number, credential in enumerate(credentials)
            ],
        }
    )


@pytest.mark.parametrize(
    ("listen", "credentials", "beginning"),
    [
        ("127.0.0.1:8080", [KEY], "A recorder, not a boundary"),
        ("localhost:8080", [{"type": "adc"}], "A recorder, not a boundary"),
        ("[::1]:8080", [IMPERSONATION], "A recorder, not a boundary"),
        ("127.0.0.1:8080", [FEDERATION], "A boundary: it holds no Google credential"),
        ("127.0.0.1:8080", [FEDERATION, KEY], "A recorder, not a boundary"),
        ("0.0.0.0:8080", [KEY], "A boundary for clients on other machines"),
        ("10.1.2.3:8080", [KEY], "A boundary for clients on other machines"),
        ("0.0.0.0:8080", [FEDERATION], "A boundary: it holds no Google credential"),
    ],
)
def test_it_claims_no_more_than_holds(listen, credentials, beginning):
    assert standing(config(listen, *credentials)).startswith(beginning)


def test_the_connections_that_hold_a_credential_are_named():
    text = standing(config("127.0.0.1:8080", KEY, FEDERATION, KEY))
    assert "connections c0 and c2" in text


@pytest.mark.parametrize(
    ("endpoint", "beginning"),
    [("127.0.0.1:9050", "A recorder, not a boundary"), ("0.0.0.0:9050", "A boundary for clients on other machines")],
)
def test_the_endpoint_counts_too(endpoint, beginning):
    places = {"endpoint": endpoint, "endpoint_names": ["bigquery.acme.internal"]}
    assert standing(config("127.0.0.1:8080", KEY, **places)).startswith(beginning)
