import json

from google.auth.identity_pool import Credentials

from hoop_mitm.client import write_credentials

AUDIENCE = "//iam.googleapis.com/projects/0/locations/global/workloadIdentityPools/hoop-mitm/providers/acme"


def test_googles_library_takes_it_for_a_way_to_trade_the_token(tmp_path):
    token = tmp_path / "token.jwt"
    token.write_text("not-a-secret")
    credentials = Credentials.from_file(write_credentials(tmp_path / "credentials.json", AUDIENCE, token))
    assert credentials.retrieve_subject_token(None) == "not-a-secret"


def test_it_holds_no_secret(tmp_path):
    token = tmp_path / "token.jwt"
    token.write_text("eyJhbGciOi")
    path = write_credentials(tmp_path / "client" / "credentials.json", AUDIENCE, token)
    assert "eyJhbGciOi" not in path.read_text()
    assert json.loads(path.read_text())["audience"] == AUDIENCE
