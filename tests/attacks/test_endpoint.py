"""The endpoint lets through what the proxy lets through, and nothing that only it could let through."""

import json
import ssl
from collections.abc import Iterator
from typing import Any, Self

import h2.config
import h2.connection
import pytest

from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.devkit.world import World
from tests.attacks.raw import BIGQUERY, Got, Raw
from tests.attacks.upstream import Upstream
from tests.gateways import RunningGateway
from tests.waiting import until

DATASETS = "/bigquery/v2/projects/acme/datasets"
QUERIES = "/bigquery/v2/projects/acme/queries"
UPLOAD = "/upload/bigquery/v2/projects/acme/jobs"
SQL = {"query": "SELECT 1 AS one", "useLegacySql": False}
NAME = "bigquery.acme.test"


class Door:
    """A gateway with an endpoint, and how it is knocked at."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        host, _, port = (gateway.config.gateway.endpoint or "").rpartition(":")
        self.address = (host, int(port))
        self.host = f"{host}:{port}"
        self.bundle = gateway.config.gateway.certs / "bundle.pem"

    def once_it_listens(self) -> Self:
        """mitmproxy opens its listeners one after the other; that the first one answers says nothing of the next."""
        until(self._listens)
        return self

    def _listens(self) -> bool:
        try:
            self.raw().connection.close()
        except ConnectionRefusedError:
            return False
        return True

    def raw(self) -> Raw:
        return Raw(self.address, self.bundle)

    def request(self, method: str, target: str, **more: Any) -> Got:
        with self.raw() as raw:
            return raw.request(method, target, **{"host": self.host, **more})


def head_of_answer(raw: Raw) -> str:
    """As it came, however many pieces it came in."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = raw.connection.recv(65536)
        assert more, got
        got += more
    return got.partition(b"\r\n\r\n")[0].decode()


def with_endpoint(world: World, directory: Any, **more: Any) -> RunningGateway:
    gateway = {"endpoint": f"127.0.0.1:{free_port()}", **more.pop("gateway", {})}
    return RunningGateway(world, directory, gateway=gateway, **more)


@pytest.fixture(scope="module")
def door(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with with_endpoint(world, tmp_path_factory.mktemp("endpoint")) as gateway:
        yield Door(gateway).once_it_listens()


@pytest.fixture
def alice(world: World) -> str:
    return world.issuer.token("alice")


def rows(got: Got) -> Any:
    return json.loads(got.body)["rows"]


@pytest.mark.parametrize(
    "path", [QUERIES, "/projects/acme/queries"], ids=["as Python asks", "as Node and Go ask an emulator"]
)
def test_a_statement_is_answered_and_recorded_as_bigquerys(door: Door, world: World, alice: str, path: str) -> None:
    before = len(world.bigquery.requests())
    agent = f"at-the-endpoint{path}"
    got = door.request("POST", f"{path}?prettyPrint=false", token=alice, body=SQL, headers=(f"User-Agent: {agent}",))
    assert (got.status, rows(got)) == (200, [{"f": [{"v": "1"}]}])
    [seen] = world.bigquery.requests()[before:]
    assert (seen.host, seen.path, seen.who) == (BIGQUERY, QUERIES, "hoop-gateway@acme.iam.gserviceaccount.com")
    columns = "host, url, decision, door, program IS NOT NULL, session_id IS NOT NULL"
    assert door.gateway.ask(f"SELECT {columns} FROM flows WHERE user_agent = '{agent}'") == [
        (BIGQUERY, f"https://{BIGQUERY}{QUERIES}?prettyPrint=false", "allow", "jobs.query", True, True)
    ]


def test_googles_mcp_server_is_at_the_endpoint_too(door: Door, world: World, alice: str) -> None:
    arguments = {"projectId": "acme", "query": "SELECT 1 AS one"}
    call = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "execute_sql", "arguments": arguments},
    }
    accept = ("Accept: application/json, text/event-stream",)

    got = door.request("POST", "/mcp", token=alice, body=call, headers=accept)
    told = door.request("POST", "/mcp", token="eyJ.x.y", body=call, headers=accept)

    assert got.status == 200
    assert b'"rows": [{"f": [{"v": "1"}]}]' in got.body
    assert json.loads(told.body)["id"] == 7
    assert "Sign in again" in json.loads(told.body)["result"]["content"][0]["text"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9", "localhost", "LOCALHOST:9050", "[::1]:9050", "127.0.0.1:"]
)
def test_loopback_has_several_names_and_any_port_may_lead_to_it(door: Door, alice: str, host: str) -> None:
    assert door.request("GET", DATASETS, token=alice, host=host).status == 200


def test_a_token_may_stand_in_the_address_of_a_client_that_has_nothing_else(door: Door, world: World) -> None:
    import base64

    basic = base64.b64encode(f"token:{world.issuer.token('alice')}".encode()).decode()
    assert door.request("GET", DATASETS, headers=(f"Authorization: Basic {basic}",)).status == 200


def test_a_login_is_traded_at_the_endpoint(door: Door, alice: str) -> None:
    from urllib.parse import urlencode

    from hoop_mitm.identity.exchange import audience_for

    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": audience_for("acme"),
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": alice,
    }
    traded = door.request("POST", "/v1/token", body=urlencode(form).encode())
    session = json.loads(traded.body)["access_token"]
    assert door.request("GET", DATASETS, token=session).status == 200
    told = json.loads(door.request("POST", "/v1/introspect", body=urlencode({"token": session}).encode()).body)
    assert told["active"] is True
    refused = door.request("POST", "/v1/token", body=urlencode({**form, "subject_token": "eyJ.x.y"}).encode())
    assert (refused.status, json.loads(refused.body)["error"]) == (400, "invalid_grant")


REFUSED = {
    "without a token": ("identity.missing", {"method": "GET", "target": DATASETS}),
    "with Google's own token": ("identity.malformed", {"method": "GET", "target": DATASETS, "token": "ya29.mine"}),
    "an absolute URL to elsewhere": ("route.mismatch", {"method": "GET", "target": f"http://evil.test{DATASETS}"}),
    "an absolute URL to Google": ("route.mismatch", {"method": "GET", "target": f"https://{BIGQUERY}{DATASETS}"}),
    "a Host that is Google's": ("route.mismatch", {"method": "GET", "target": DATASETS, "host": BIGQUERY}),
    "a name that was made to lead here": ("route.mismatch", {"method": "GET", "target": DATASETS, "host": "evil.test"}),
    "a name that looks like ours": (
        "route.mismatch",
        {"method": "GET", "target": DATASETS, "host": "127.0.0.1.evil.test"},
    ),
    "a user before the name": ("route.mismatch", {"method": "GET", "target": DATASETS, "host": "127.0.0.1@evil.test"}),
    "two Hosts": ("route.mismatch", {"method": "GET", "target": DATASETS, "headers": ("Host: evil.test",)}),
    "no Host at all": ("route.mismatch", {"method": "GET", "target": DATASETS, "host": ""}),
    "from a page": (
        "route.browser",
        {"method": "GET", "target": DATASETS, "headers": ("Origin: https://evil.test",)},
    ),
    "from a page of no origin": ("route.browser", {"method": "POST", "target": QUERIES, "headers": ("Origin: null",)}),
    "from a page's image": (
        "route.browser",
        {"method": "GET", "target": DATASETS, "headers": ("Sec-Fetch-Site: none",)},
    ),
    "a page that asks whether it may": (
        "route.browser",
        {"method": "OPTIONS", "target": QUERIES, "headers": ("Access-Control-Request-Method: POST",)},
    ),
    "a token in the URL": ("carrier.query", {"method": "GET", "target": f"{DATASETS}?access_token=eyJ.x.y"}),
    "a path that Google has and we have not": ("door.unknown", {"method": "POST", "target": "/batch/storage/v1"}),
    "a path of ours and no more": ("door.unknown", {"method": "GET", "target": "/projectsx/acme/datasets"}),
    "a way out of the base": ("door.unknown", {"method": "GET", "target": "/projects/../../storage/v1/b"}),
    "another token endpoint": ("door.unknown", {"method": "POST", "target": "/v1/tokens"}),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_what_is_refused(attack: str, door: Door, world: World, alice: str) -> None:
    rule, asked = REFUSED[attack]
    asked = dict(asked)
    agent = f"User-Agent: refused {attack}"
    if not rule.startswith("identity"):
        asked.setdefault("token", alice)
    before = len(world.bigquery.requests())
    got = door.request(**{**asked, "headers": (agent, *asked.get("headers", ()))})
    assert (got.status, len(world.bigquery.requests()) - before) == (403, 0)
    assert "hoop-mitm" in got.message or rule.startswith("identity")
    found = door.gateway.ask(
        f"SELECT decision, rule FROM flows WHERE user_agent = 'refused {attack.replace(chr(39), chr(39) * 2)}'"
    )
    assert found == [("deny", rule)]


def test_nobody_is_given_a_token_by_a_browsers_page(door: Door) -> None:
    for header in ("Host: evil.test", "Origin: https://evil.test"):
        got = door.request("POST", "/v1/token", body=b"grant_type=x", headers=(header,))
        assert (got.status, json.loads(got.body)["error"]) == (400, "invalid_grant")
    assert "access-control" not in str(got.body).lower()


@pytest.mark.parametrize("target", ["example.com:443", f"{BIGQUERY}:443", "127.0.0.1:22"])
def test_the_endpoint_is_no_proxy(target: str, door: Door) -> None:
    with door.raw() as raw:
        host, _, port = target.partition(":")
        assert raw.connect(host, int(port)).status == 400


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.test"])
def test_the_authority_vouches_for_no_name_that_is_not_its_own(name: str, door: Door) -> None:
    with door.raw() as raw, pytest.raises(ssl.SSLCertVerificationError):
        raw.tls(name)


def test_who_believes_google_to_be_here_is_refused(door: Door, alice: str) -> None:
    """Whoever has lied to a client about Google's address leads it to an endpoint that says no."""
    with door.raw() as raw:
        assert raw.tls(BIGQUERY).request("GET", DATASETS, token=alice).status == 403


def test_the_proxy_is_no_endpoint(door: Door, world: World, alice: str) -> None:
    before = len(world.bigquery.requests())
    with Raw(door.gateway.process.address, door.gateway.config.gateway.certs / "bundle.pem") as raw:
        got = raw.request("GET", DATASETS, host=door.host, token=alice)
    assert got.status in (400, 403)
    assert len(world.bigquery.requests()) == before


def test_an_upload_comes_back_by_the_endpoint(door: Door, alice: str) -> None:
    load = {
        "configuration": {"load": {"destinationTable": {"projectId": "acme", "datasetId": "shop", "tableId": "up"}}}
    }
    load["configuration"]["load"]["sourceFormat"] = "NEWLINE_DELIMITED_JSON"  # type: ignore[assignment]
    load["configuration"]["load"]["autodetect"] = True  # type: ignore[assignment]
    for host in (door.host, "localhost:1234"):
        with door.raw() as raw:
            head = "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n"
            body = json.dumps(load).encode()
            raw.connection.sendall(
                head.format(f"{UPLOAD}?uploadType=resumable", host, alice).encode()
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            headers = head_of_answer(raw).split("\r\n")
        location = next(line for line in headers if line.lower().startswith("location:")).partition(": ")[2]
        assert location.startswith(f"http://{host}/upload/bigquery/v2/projects/acme/jobs?")
        assert "upload_id=hoop-" in location
        target = location.partition(host)[2]
        done = door.request("PUT", target, token=alice, body=b'{"id": 1}\n')
        assert done.status == 200, done.body


def test_what_google_says_of_other_ways_to_itself_stays_here(world: World, tmp_path: Any, alice: str) -> None:
    ca = WorldCA(tmp_path)
    upstream = Upstream(ca.issue("up", (BIGQUERY,)))
    extra = (
        b'Alt-Svc: h3=":443"\r\nStrict-Transport-Security: max-age=1\r\nLocation: https://elsewhere.test/x\r\nX-Kept: 1'
    )
    upstream.answer = lambda _: b"HTTP/1.1 200 OK\r\n" + extra + b"\r\nContent-Length: 2\r\n\r\n{}"
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(world.ca.read_bytes() + ca.certificate.read_bytes())
    hosts = {**world.hosts, BIGQUERY: f"127.0.0.1:{upstream.port}"}
    settings = {"upstream": {"ca": str(bundle), "hosts": hosts}}
    with with_endpoint(world, tmp_path, gateway=settings) as gateway, Door(gateway).once_it_listens().raw() as raw:
        head = f"GET {DATASETS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {alice}\r\n\r\n"
        raw.connection.sendall(head.encode())
        answered = head_of_answer(raw).lower()
    assert "x-kept: 1" in answered
    assert "alt-svc" not in answered
    assert "strict-transport" not in answered
    assert "location: https://elsewhere.test/x" in answered
    seen = bytes(upstream.raw[0])
    assert f"Host: {BIGQUERY}\r\n".encode() in seen
    assert b"localhost" not in seen
    assert b"eyJ" not in seen


@pytest.fixture(scope="module", params=["the gateway's authority", "a certificate"])
def secure(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """An endpoint beyond loopback, as far as its settings can tell. Nothing but loopback reaches it."""
    directory = tmp_path_factory.mktemp("secure")
    port = free_port()
    # Loopback, in a spelling that is not taken for it: a name, which might lead anywhere.
    settings: dict[str, Any] = {"endpoint": f"LOCALHOST:{port}", "endpoint_names": [NAME]}
    ca = WorldCA(directory)
    if request.param == "a certificate":
        made = ca.issue("endpoint", (NAME, "*.wild.acme.test"))
        (directory / "endpoint.pem").write_bytes(made.key.read_bytes() + made.chain.read_bytes())
        settings = {"endpoint": f"127.0.0.1:{port}", "endpoint_certificate": str(directory / "endpoint.pem")}
    with RunningGateway(world, directory, gateway=settings) as gateway:
        door = Door(gateway)
        door.address = ("127.0.0.1", port)
        if request.param == "a certificate":
            door.bundle = ca.certificate
        yield door.once_it_listens()


def test_beyond_loopback_it_speaks_tls_and_checks_every_name(secure: Door, world: World, alice: str) -> None:
    def ask(sni: str, host: str, **more: Any) -> Got:
        with secure.raw() as raw:
            return raw.tls(sni, **more).request("GET", DATASETS, token=alice, host=host)

    assert ask(NAME, NAME).status == 200
    assert ask(NAME, f"{NAME}:9050").status == 200
    before = len(world.bigquery.requests())
    for sni, host in (
        (NAME, BIGQUERY),
        (BIGQUERY, BIGQUERY),
        (BIGQUERY, NAME),
        ("evil.test", NAME),
        (NAME, "evil.test"),
    ):
        assert ask(sni, host, verify=False).status == 403, (sni, host)
    assert len(world.bigquery.requests()) == before


def test_beyond_loopback_nothing_is_answered_in_the_clear(secure: Door, world: World, alice: str) -> None:
    before = len(world.bigquery.requests())
    assert secure.request("GET", DATASETS, host=NAME, token=alice).status == 0
    assert secure.request("POST", "/v1/token", host=NAME, body=b"grant_type=x").status == 0
    assert len(world.bigquery.requests()) == before


@pytest.mark.parametrize(
    ("authority", "path", "status"),
    [(NAME, DATASETS, b"200"), ("evil.test", DATASETS, b"403"), (BIGQUERY, DATASETS, b"403")],
)
def test_http2_at_the_endpoint(secure: Door, alice: str, authority: str, path: str, status: bytes) -> None:
    raw = secure.raw()
    context = ssl.create_default_context(cafile=str(secure.bundle))
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(raw.connection, server_hostname=NAME) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
        h2c.initiate_connection()
        pseudo = {b":method": b"GET", b":scheme": b"https", b":authority": authority.encode(), b":path": path.encode()}
        h2c.send_headers(1, [*pseudo.items(), (b"authorization", f"Bearer {alice}".encode())], end_stream=True)
        connection.sendall(h2c.data_to_send())
        answered = b""
        while not answered:
            for event in h2c.receive_data(connection.recv(65536)):
                answered = answered or dict(getattr(event, "headers", None) or {}).get(b":status", b"")
    assert answered == status
