"""The gateway's own calls go where it was told, and prove whom they reached."""

import asyncio
from pathlib import Path

import pytest
import requests

from hoop_mitm.config.model import Upstream
from hoop_mitm.devkit.http import Request, Response, Servers
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.devkit.world import World
from hoop_mitm.outbound import Fetcher, session

TOKEN = "https://oauth2.googleapis.com/token"


def upstream(world: World, **changes: object) -> Upstream:
    return Upstream.model_validate({"ca": world.ca, "hosts": world.hosts} | changes)


def test_an_override_changes_the_address_and_not_the_name(world: World) -> None:
    answer = session(upstream(world)).post(TOKEN, data={"grant_type": "nothing"})
    assert answer.status_code == 400
    assert world.google.requests()[-1] == ("oauth2.googleapis.com", "/token")


def test_the_certificate_is_checked_against_the_real_name(world: World) -> None:
    elsewhere = upstream(world, hosts={"www.example.com": world.hosts["oauth2.googleapis.com"]})
    with pytest.raises(requests.exceptions.SSLError):
        session(elsewhere).get("https://www.example.com/")


def test_without_the_ca_nobody_is_believed(world: World) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        session(upstream(world, ca=None)).get(TOKEN)


def test_the_environment_does_not_steer_the_gateway(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert session(upstream(world)).post(TOKEN).status_code == 400


def test_a_fetcher_gives_a_document_and_no_error_page(world: World) -> None:
    fetch = Fetcher(upstream(world))
    document = asyncio.run(fetch(f"{world.issuer.url}/.well-known/openid-configuration", world.ca))
    assert world.issuer.url.encode() in document
    with pytest.raises(OSError, match="404"):
        asyncio.run(fetch(f"{world.issuer.url}/nothing-here", world.ca))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_is_sent_goes_to_nobody_else_whatever_the_answer_says(tmp_path: Path, status: int) -> None:
    authority, servers, seen = WorldCA(tmp_path), Servers(), []
    certificate = authority.issue("here", ("127.0.0.1",))

    def elsewhere(request: Request) -> Response:
        seen.append(request)
        return Response()

    servers.start()
    try:
        there = f"https://127.0.0.1:{servers.listen(elsewhere, certificate)}/"
        redirect = Response(status, headers={"location": there})
        here = f"https://127.0.0.1:{servers.listen(lambda _: redirect, certificate)}/token"
        answer = session(Upstream(ca=authority.certificate)).post(here, data={"refresh_token": "secret"})
    finally:
        servers.stop()
    assert (answer.status_code, answer.url, seen) == (status, here, [])
