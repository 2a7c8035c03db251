"""What a hostile review found on the wire, and must never be found again."""

import contextlib
import gzip
import json
import os
import re
import resource
import signal
import ssl
import time
from http.client import HTTPResponse
from pathlib import Path

import h2.config
import h2.connection
import pytest
import zstandard

from hoop_mitm.devkit.pki import WorldCA
from tests.attacks.raw import BIGQUERY, Raw, bigquery
from tests.attacks.upstream import Upstream
from tests.gateways import RunningGateway
from tests.waiting import until

DATASETS = "/bigquery/v2/projects/acme/datasets"
QUERIES = "/bigquery/v2/projects/acme/queries"
UPLOAD = "/upload/bigquery/v2/projects/acme/jobs"
SQL = {"query": "SELECT 1", "useLegacySql": False}


def in_front_of(world, tmp_path, cert, upstream):
    hosts = {**world.hosts, BIGQUERY: f"127.0.0.1:{upstream.port}"}
    return RunningGateway(world, tmp_path, gateway={"upstream": {"ca": str(cert[1]), "hosts": hosts}})


def conn(g):
    return bigquery(g.process.address, g.config.gateway.certs / "bundle.pem")


def family(pid):
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))
    yield pid


def works(g, world):
    with conn(g) as r:
        return r.request("POST", QUERIES, token=world.issuer.token("alice"), body=SQL).status == 200


@pytest.mark.parametrize(
    "head",
    [
        f"GET https://evil.run.app{DATASETS} HTTP/1.1\r\nHost: {BIGQUERY}\r\n",
        f"GET https://{BIGQUERY}{DATASETS} HTTP/2.0\r\nHost: evil.run.app\r\n",
    ],
    ids=["absolute-form", "HTTP/2.0-in-h1"],
)
def test_the_credential_goes_to_no_other_host_header(world, tmp_path, cert, head):
    up = Upstream(cert[0])
    with in_front_of(world, tmp_path, cert, up) as g, conn(g) as r:
        r.send((head + f"Authorization: Bearer {world.issuer.token('alice')}\r\n\r\n").encode())
    assert not any(b"evil.run.app" in raw and b"ya29." in raw for raw in up.raw), bytes(up.raw[0])[:160]


def test_nor_to_another_authority_over_h2(world, tmp_path, cert):
    up = Upstream(cert[0], h2_only=True)
    with in_front_of(world, tmp_path, cert, up) as g:
        r = Raw(g.process.address, g.config.gateway.certs / "bundle.pem")
        r.connect()
        c = ssl.create_default_context(cafile=str(g.config.gateway.certs / "bundle.pem"))
        c.set_alpn_protocols(["http/1.1", "h2"])
        r.connection = c.wrap_socket(r.connection, server_hostname=BIGQUERY)
        r.request("GET", f"https://evil.run.app{DATASETS}", token=world.issuer.token("alice"))
    assert all(b[b":authority"] == BIGQUERY.encode() for b in up.blocks), up.blocks


def start_upload(g, token):
    with conn(g) as r:
        body = json.dumps(
            {
                "configuration": {
                    "load": {"destinationTable": {"projectId": "acme", "datasetId": "shop", "tableId": "t"}}
                }
            }
        ).encode()
        r.connection.sendall(
            f"POST {UPLOAD}?uploadType=resumable HTTP/1.1\r\nHost: {BIGQUERY}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        x = HTTPResponse(r.connection)
        x.begin()
        x.read()
        return re.search("upload_id=([^&]+)", x.getheader("location"))[1]


def test_no_upload_stops_the_gateway_for_everybody(world, tmp_path):
    alice, data = world.issuer.token("alice"), os.urandom(4_300_000)
    for _ in range(1100):
        data = zstandard.ZstdCompressor(level=1).compress(data)
    with RunningGateway(world, tmp_path) as g:
        handle = start_upload(g, alice)
        with conn(g) as r:
            # Whether it is answered is its own affair.
            r.connection.settimeout(5)
            r.request(
                "PUT",
                f"{UPLOAD}?uploadType=resumable&upload_id={handle}",
                token=alice,
                body=data,
                headers=("Content-Encoding: " + ",".join(["zstd"] * 1100),),
            )
        time.sleep(1)
        assert works(g, world)


def test_no_small_upload_keeps_the_press_busy_for_hours(world, tmp_path):
    alice = world.issuer.token("alice")
    bomb = gzip.compress(
        gzip.compress(gzip.compress((b"\x50\x2a\x4d\x18" + (65528).to_bytes(4, "little") + bytes(65528)) * 160) * 1000)
        * 100
    )
    with RunningGateway(world, tmp_path) as g:
        handle = start_upload(g, alice)
        r = conn(g)
        r.connection.sendall(
            f"PUT {UPLOAD}?uploadType=resumable&upload_id={handle} HTTP/1.1\r\nHost: {BIGQUERY}\r\nAuthorization: Bearer {alice}\r\nContent-Encoding: zstd, gzip, gzip, gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
            + bomb
        )
        time.sleep(2)
        with conn(g) as bob:
            got = bob.request(
                "POST",
                QUERIES,
                token=world.issuer.token("bob"),
                body={"query": "SELECT REPEAT('x',1000) s FROM UNNEST(GENERATE_ARRAY(1,2000))", "useLegacySql": False},
            )
        r.connection.close()
    assert got.status == 200


def test_alice_cannot_read_bobs_result_without_saying_which_dialect(world, gateway):
    with conn(gateway) as r:
        job = {"configuration": {"query": {"query": "SELECT salary FROM shop.employees", "useLegacySql": False}}}
        t = json.loads(
            r.request("POST", "/bigquery/v2/projects/acme/jobs", token=world.issuer.token("bob"), body=job).body
        )["configuration"]["query"]["destinationTable"]
        d = t["datasetId"]
        got = r.request(
            "POST",
            QUERIES,
            token=world.issuer.token("alice"),
            body={
                "query": f"EXECUTE IMMEDIATE CONCAT('SELECT * FROM acme._','{d[1:12]}','{d[12:]}','.a','{t['tableId'][1:]}')"
            },
        )
    assert got.status == 403, got.body[-200:]


@pytest.mark.parametrize(
    "data",
    [
        "GET / HTTP/1.1\r\nAuthorization: Bearer {}\r\nUser-",
        "GET / HTTP/1.1\r\nAuthorization Bearer {}\r\n\r\n",
        "GET /x?access_token={} y HTTP/1.1\r\n\r\n",
    ],
    ids=["cut", "colon", "line"],
)
def test_no_token_reaches_the_log(world, gateway, data):
    token = world.issuer.token("alice", audience="hoop-mitm")
    r = conn(gateway)
    r.connection.sendall(data.format(token).encode())
    mine = r.connection.getsockname()[1]
    r.connection.close()
    until(lambda: f":{mine}] client disconnect" in gateway.log.read_text(errors="replace"))
    assert token.split(".")[2] not in gateway.log.read_text(errors="replace")


def chunks(n, end=b""):
    return (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (65536, b"s" * 65536) for _ in range(n))
        + end
    )


END = b"\r\n0\r\n\r\n"


def read_page(g, token, most=1 << 30):
    """What a client gets: until its end, or as the connection ends, or so many bytes of it."""
    r = conn(g)
    r.connection.sendall(
        f"GET {DATASETS}/shop/tables/employees/data HTTP/1.1\r\nHost: {BIGQUERY}\r\nUser-Agent: reader/1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while len(got) < most and not got.endswith(END) and (data := r.connection.recv(65536)):
            got += data
    return got


def test_rows_that_a_client_has_are_somebodys_after_a_crash(world, tmp_path, cert):
    up = Upstream(cert[0])
    up.answer = lambda seen: chunks(40) if b"\r\n\r\n" in seen else None
    g = in_front_of(world, tmp_path, cert, up)
    with g:
        assert len(read_page(g, world.issuer.token("alice"), most=2_000_000)) >= 2_000_000
        for pid in reversed(list(family(g.process.pid))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        g.process._process.wait()
    with g:
        # What a gateway that was killed has left is told by the next one, when it has found out how it ended.
        until(lambda: g.ask("SELECT count(*) > 0 FROM flows WHERE user_agent = 'reader/1'") == [(True,)])
        assert g.ask("SELECT count(*) FROM flows WHERE user_agent = 'reader/1'") == [(1,)]


def test_a_cut_off_stream_does_not_look_complete(world, tmp_path, cert):
    up = Upstream(cert[0])
    up.answer = lambda seen: chunks(60, b"0\r\n\r\n") if b"\r\n\r\n" in seen else None
    with in_front_of(world, tmp_path, cert, up) as g:
        assert read_page(g, world.issuer.token("alice")).endswith(END)
        # What is to fail is the writing of the next one alone.
        g.folded().close()
        for pid in family(g.process.pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        got = read_page(g, world.issuer.token("alice"))
        for pid in family(g.process.pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert END not in got, f"{len(got)} bytes, and an end-of-message"


def head(n):
    return b"GET /x HTTP/1.1\r\nHost: " + BIGQUERY.encode() + b"\r\n" + n + b"\r\n\r\n"


@pytest.mark.parametrize(
    "payload",
    [
        head(b"Authorization: Bearer " + b"Aa1-" * (1 << 21)),
        b"GET /x?" + b"a&" * (2 << 20) + b" HTTP/1.1\r\nHost: " + BIGQUERY.encode() + b"\r\n\r\n",
    ],
    ids=["8MB-bearer", "4MB-query"],
)
def test_a_head_without_end_is_refused_before_it_is_held(world, gateway, payload):
    with conn(gateway) as r, contextlib.suppress(OSError):
        r.connection.sendall(payload)
        answer = HTTPResponse(r.connection)
        answer.begin()
        assert answer.status in (400, 403, 431)
    assert works(gateway, world)


def test_an_upload_id_behind_a_fragment_is_not_forwarded(world, gateway):
    alice = world.issuer.token("alice")
    handle = start_upload(gateway, alice)
    before = len(world.bigquery.requests())
    with conn(gateway) as r:
        r.request(
            "POST",
            f"{UPLOAD}?uploadType=resumable&x#&upload_id={handle}",
            token=alice,
            body={"configuration": {"query": {"query": "unread by the gateway"}}},
        )
    assert len(world.bigquery.requests()) == before, world.bigquery.requests()[-1].body


def test_trailers_are_not_forwarded(world, tmp_path, cert):
    up = Upstream(cert[0], h2_only=True)
    with in_front_of(world, tmp_path, cert, up) as g:
        r = Raw(g.process.address, g.config.gateway.certs / "bundle.pem")
        r.connect()
        c = ssl.create_default_context(cafile=str(g.config.gateway.certs / "bundle.pem"))
        c.set_alpn_protocols(["h2"])
        r.connection = c.wrap_socket(r.connection, server_hostname=BIGQUERY)
        h = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
        h.initiate_connection()
        h.send_headers(
            1,
            [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", BIGQUERY.encode()),
                (b":path", DATASETS.encode()),
                (b"authorization", f"Bearer {world.issuer.token('alice')}".encode()),
            ],
        )
        h.send_headers(
            1, [(b"authorization", b"Bearer ya29.the-clients-own"), (b"x-goog-user-project", b"other")], end_stream=True
        )
        r.connection.sendall(h.data_to_send())
        time.sleep(2)
    assert not any(b"x-goog-user-project" in b for b in up.blocks), up.blocks[-1]


def test_the_next_page_after_a_large_one(world, gateway):
    alice = world.issuer.token("alice")
    with conn(gateway) as r:
        job = json.loads(
            r.request(
                "POST",
                QUERIES,
                token=alice,
                body={
                    "query": "SELECT REPEAT('x',1000) s, n FROM UNNEST(GENERATE_ARRAY(1,4000)) n",
                    "useLegacySql": False,
                    "maxResults": 1,
                },
            ).body
        )["jobReference"]["jobId"]
        page = json.loads(r.request("GET", f"{QUERIES}/{job}?maxResults=2000", token=alice).body)
        assert (
            r.request("GET", f"{QUERIES}/{job}?maxResults=2000&pageToken={page['pageToken']}", token=alice).status
            == 200
        )


def test_a_large_upload(world, gateway):
    alice = world.issuer.token("alice")
    handle = start_upload(gateway, alice)
    with conn(gateway) as r:
        assert (
            r.request(
                "PUT", f"{UPLOAD}?uploadType=resumable&upload_id={handle}", token=alice, body=b'{"a":1}\n' * 2_700_000
            ).status
            != 403
        )


@pytest.mark.parametrize(("names", "status"), [((BIGQUERY,), 200), (("127.0.0.1", "localhost"), 502)])
def test_an_override_changes_where_google_is_reached_not_who_it_must_be(world, tmp_path, cert, names, status):
    ca = WorldCA(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(world.ca.read_bytes() + ca.certificate.read_bytes())
    up, asked = Upstream(ca.issue("up", names)), []
    up.context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with in_front_of(world, tmp_path, (None, bundle), up) as g, conn(g) as r:
        assert r.request("GET", DATASETS, token=world.issuer.token("alice")).status == status
    assert set(asked) == {BIGQUERY}
    assert any(up.raw) == (status == 200)
