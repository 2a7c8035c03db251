"""The endpoint's variables; what clients make of them is in tests/clients/test_endpoint.py."""

import json
from pathlib import Path

from hoop_mitm.client import client_environment, endpoint_environment, write_credentials

URL = "http://127.0.0.1:9050"


def test_nothing_of_the_proxy_is_among_them() -> None:
    variables = endpoint_environment(f"{URL}/", Path("/c.json"), "acme")
    proxied = client_environment("http://127.0.0.1:8080", Path("/b.pem"), Path("/c.json"), "acme", {})
    assert variables["BIGQUERY_EMULATOR_HOST"] == variables["BIGQUERY_ENDPOINT"] == URL
    assert variables["CLOUDSDK_API_ENDPOINT_OVERRIDES_BIGQUERY"] == f"{URL}/"
    assert set(variables) & set(proxied) == {
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
        "GOOGLE_CLOUD_PROJECT",
        "CLOUDSDK_CORE_PROJECT",
        "BIGQUERY_PROJECT",
    }


def test_the_credentials_file_leads_to_the_endpoint_alone(tmp_path: Path) -> None:
    file = write_credentials(tmp_path / "c.json", "//iam.googleapis.com/x", tmp_path / "token", endpoint=f"{URL}/")
    written = json.loads(file.read_text())
    assert (written["token_url"], written["token_info_url"]) == (f"{URL}/v1/token", f"{URL}/v1/introspect")
    assert "sts.googleapis.com" not in file.read_text()
