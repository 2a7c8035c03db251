"""An issuer that we did not write is understood: oidc-provider-mock, by authorization code."""

import asyncio
import re
import secrets
import time
from urllib.parse import parse_qs, urlsplit

import requests
from oidc_provider_mock import run_server_in_thread

from hoop_mitm.config import Issuer
from hoop_mitm.identity import OidcVerifier
from tests.identity.local_issuer import fetch


def id_token(url: str, client: str) -> str:
    """What a browser and a client would do, without the browser."""
    redirect = "http://127.0.0.1/callback"
    query = {"client_id": client, "redirect_uri": redirect, "response_type": "code", "scope": "openid email", "nonce": secrets.token_hex(8)}  # fmt: skip
    answer = requests.post(
        f"{url}/oauth2/authorize", params=query, data={"sub": "alice@example.com"}, allow_redirects=False, timeout=60
    )
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "client_id": client, "client_secret": "x"}  # fmt: skip
    return requests.post(f"{url}/oauth2/token", data=form, timeout=60).json()["id_token"]


def test_an_id_token_of_another_implementation_is_accepted():
    with run_server_in_thread() as server:
        url = f"http://localhost:{server.server_port}"
        token = id_token(url, "hoop-mitm")
        assert re.fullmatch(r"[\w.-]+", token)
        verifier = OidcVerifier([Issuer(issuer=url, audiences=("hoop-mitm",))], fetch, time.time)
        assert asyncio.run(verifier.verify(token)).principal.subject == "alice@example.com"
