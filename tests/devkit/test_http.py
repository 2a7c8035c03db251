"""Handlers behind TLS, in both versions of HTTP."""

import asyncio
import gzip
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hoop_mitm.devkit.http import Request, Response, Servers
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.errors import SandboxError

SLOW = 4
_all_of_them = threading.Barrier(SLOW)


def echo(request: Request) -> Response:
    if request.path == "/slow":
        # Each is answered only when the others have arrived as well.
        _all_of_them.wait(60)
    return Response.json(
        {
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "query": request.query,
            "body": request.content().decode(),
            "bearer": request.bearer(),
            "padding": "x" * 1000,
        }
    )


class Echo:
    def __init__(self, directory: Path) -> None:
        authority = WorldCA(directory)
        self.context = ssl.create_default_context(cafile=str(authority.certificate))
        self.servers = Servers()
        self.servers.start()
        self.port = self.servers.listen(echo, authority.issue("echo", ["127.0.0.1"]))

    def client(self, *, http2: bool) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=self.context, http2=http2, trust_env=False, timeout=60
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    made = Echo(tmp_path_factory.mktemp("tls"))
    yield made
    made.servers.stop()


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (True, "HTTP/2")], ids=["1.1", "2"])
def test_a_request_arrives_whole(server: Echo, *, http2: bool, version: str) -> None:
    with server.client(http2=http2) as client:
        answer = client.post(
            "/a/b",
            params={"x": "1"},
            content=gzip.compress(b"hello"),
            headers={"Content-Encoding": "gzip", "Authorization": "bearer T"},
        )
    said = answer.json()

    assert answer.http_version == version
    assert (said["method"], said["host"], said["path"]) == ("POST", "127.0.0.1", "/a/b")
    assert (said["query"], said["body"], said["bearer"]) == ([["x", "1"]], "hello", "T")


@pytest.mark.parametrize(("accepts", "encoding"), [("gzip", "gzip"), ("br", None)])
def test_an_answer_is_compressed_for_those_who_can_read_it(server: Echo, accepts: str, encoding: str | None) -> None:
    with server.client(http2=False) as client:
        answer = client.get("/", headers={"Accept-Encoding": accepts})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.json()["path"] == "/"


def test_one_slow_request_does_not_hold_up_another(server: Echo) -> None:
    with server.client(http2=True) as client, ThreadPoolExecutor(SLOW) as threads:
        answers = list(threads.map(lambda _: client.get("/slow"), range(SLOW)))
    assert [answer.status_code for answer in answers] == [200] * SLOW


def test_a_stopped_server_is_gone(tmp_path: Path) -> None:
    made = Echo(tmp_path)
    with made.client(http2=False) as client:
        assert client.get("/").status_code == 200
        made.servers.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/")


def test_what_does_not_finish_in_time_is_an_error(server: Echo) -> None:
    with pytest.raises(SandboxError):
        server.servers.submit(asyncio.Event().wait(), timeout=0.05)
