"""A museum of ways around the gateway. Each row: refused, Google untouched, recorded."""

import gzip
import json
import socket
import struct
from collections.abc import Callable

import pytest

from hoop_mitm.devkit.world import World
from tests.attacks.raw import BIGQUERY, Got, Raw, bigquery
from tests.gateways import RunningGateway

QUERIES = "/bigquery/v2/projects/acme/queries"
DATASETS = "/bigquery/v2/projects/acme/datasets"
SQL = {"query": "SELECT 1 AS one", "useLegacySql": False}


class Attack:
    """What a row has in hand: the gateway, and good tokens of both people."""

    def __init__(self, gateway: RunningGateway, world: World) -> None:
        self.gateway = gateway
        self.proxy = gateway.process.address
        self.bundle = gateway.config.gateway.certs / "bundle.pem"
        self.alice = world.issuer.token("alice")
        self.bob = world.issuer.token("bob")

    def connected(self) -> Raw:
        return bigquery(self.proxy, self.bundle)


def raw_bytes_after_connect(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        raw.connect()
        return raw.send(b"\x00\x01\x02 not http, not tls \r\n\r\n")


def plain_http_after_connect(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        raw.connect()
        return raw.request("GET", DATASETS, token=a.alice)


def plain_http_to_a_google_host(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        return raw.request("GET", f"http://{BIGQUERY}{DATASETS}", token=a.alice)


def https_url_without_connect(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        return raw.request("GET", f"https://{BIGQUERY}{DATASETS}", token=a.alice)


def access_token_in_the_url(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", f"{DATASETS}?access_token={a.alice}")


def access_token_in_the_url_beside_a_good_header(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", f"{DATASETS}?%61ccess_token=ya29.stolen", token=a.alice)


def other_sni(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        raw.connect()
        raw.tls("sts.googleapis.com")
        return raw.request("GET", DATASETS, token=a.alice)


def other_host_header(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", DATASETS, host="example.com", token=a.alice)


def two_host_headers(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", DATASETS, token=a.alice, headers=("Host: example.com",))


def connect_elsewhere_with_bigquerys_sni(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        if (answer := raw.connect("127.0.0.1", 9)).status != 200:
            return answer
        raw.tls(verify=False)
        return raw.request("GET", DATASETS, token=a.alice)


def other_port(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        return raw.connect(BIGQUERY, 8443)


def tunnel_to_the_metadata_server(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        return raw.connect("169.254.169.254", 80)


def tunnel_to_the_metadata_server_in_ipv6_clothes(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        return raw.connect("[::ffff:169.254.169.254]", 80)


def tunnel_to_the_gateway_itself(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        return raw.connect("127.0.0.1", a.proxy[1])


def tunnel_to_a_name_that_leads_to_loopback(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        raw.connect("localhost", a.proxy[1])
        return raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def unknown_path(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", "/storage/v1/b/secrets/o", token=a.alice)


def batch_endpoint(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("POST", "/batch/bigquery/v2", token=a.alice, body=b"--x--")


def encoded_slash(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", "/bigquery/v2/projects/acme%2F..%2Fother/datasets", token=a.alice)


def another_project(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", "/bigquery/v2/projects/somebody-elses/datasets", token=a.alice)


def another_project_to_bill(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", DATASETS, token=a.alice, headers=("X-Goog-User-Project: somebody-elses",))


def duplicate_keys(a: Attack) -> Got:
    with a.connected() as raw:
        body = b'{"query": "SELECT 1", "useLegacySql": false, "query": "DROP TABLE shop.orders"}'
        return raw.request("POST", QUERIES, token=a.alice, body=body, headers=("Content-Type: application/json",))


def gzip_bomb(a: Attack) -> Got:
    with a.connected() as raw:
        body = gzip.compress(json.dumps({"query": "SELECT '" + "a" * 60_000_000 + "'"}).encode())
        headers = ("Content-Type: application/json", "Content-Encoding: gzip")
        return raw.request("POST", QUERIES, token=a.alice, body=body, headers=headers)


def chunked_fifty_megabytes(a: Attack) -> Got:
    with a.connected() as raw:
        head = f"POST {QUERIES} HTTP/1.1\r\nHost: {BIGQUERY}\r\nAuthorization: Bearer {a.alice}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.connection.sendall(head.encode())
        chunk = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
        for _ in range(50):
            raw.connection.sendall(chunk)
        return raw.send(b"0\r\n\r\n")


def announced_fifty_megabytes(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("POST", QUERIES, token=a.alice, body=b" " * 50_000_000)


def content_length_and_chunked(a: Attack) -> Got:
    with a.connected() as raw:
        head = f"POST {QUERIES} HTTP/1.1\r\nHost: {BIGQUERY}\r\nAuthorization: Bearer {a.alice}\r\n"
        head += "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        return raw.send(head.encode())


def method_override(a: Attack) -> Got:
    with a.connected() as raw:
        headers = ("X-HTTP-Method-Override: DELETE",)
        return raw.request("GET", "/bigquery/v2/projects/acme/datasets/shop", token=a.alice, headers=headers)


def api_key_instead_of_a_token(a: Attack) -> Got:
    with a.connected() as raw:
        return raw.request("GET", f"{DATASETS}?key=AIzaSyA", headers=("X-Goog-Api-Key: AIzaSyA",))


def websocket_upgrade(a: Attack) -> Got:
    with a.connected() as raw:
        headers = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
        return raw.request("GET", "/socket", token=a.alice, headers=headers)


def token_endpoint_path_that_is_not_ours(a: Attack) -> Got:
    with Raw(a.proxy, a.bundle) as raw:
        raw.connect("iamcredentials.googleapis.com")
        raw.tls("iamcredentials.googleapis.com")
        target = "/v1/projects/-/serviceAccounts/x@acme.iam.gserviceaccount.com:generateAccessToken"
        return raw.request("POST", target, host="iamcredentials.googleapis.com", token=a.alice, body={"scope": []})


ATTACKS: list[Callable[[Attack], Got]] = [
    raw_bytes_after_connect,
    plain_http_after_connect,
    plain_http_to_a_google_host,
    https_url_without_connect,
    access_token_in_the_url,
    access_token_in_the_url_beside_a_good_header,
    other_sni,
    other_host_header,
    two_host_headers,
    connect_elsewhere_with_bigquerys_sni,
    other_port,
    tunnel_to_the_metadata_server,
    tunnel_to_the_metadata_server_in_ipv6_clothes,
    tunnel_to_the_gateway_itself,
    tunnel_to_a_name_that_leads_to_loopback,
    unknown_path,
    batch_endpoint,
    encoded_slash,
    another_project,
    another_project_to_bill,
    duplicate_keys,
    gzip_bomb,
    chunked_fifty_megabytes,
    announced_fifty_megabytes,
    content_length_and_chunked,
    method_override,
    api_key_instead_of_a_token,
    websocket_upgrade,
    token_endpoint_path_that_is_not_ours,
]

# mitmproxy itself closes these before any addon is asked about a request.
CLOSED_BY_MITMPROXY = {raw_bytes_after_connect, content_length_and_chunked}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_is_refused_and_google_never_sees_it(
    attack: Callable[[Attack], Got], gateway: RunningGateway, world: World
) -> None:
    upstream, tokens = len(world.bigquery.requests()), len(world.google.requests())
    answer = attack(Attack(gateway, world))
    assert answer.status in (0, 400, 403), answer
    assert len(world.bigquery.requests()) == upstream
    assert len(world.google.requests()) == tokens
    if attack not in CLOSED_BY_MITMPROXY and answer.status:
        assert answer.message


def test_a_good_request_on_the_same_path_passes(gateway: RunningGateway, world: World) -> None:
    with Attack(gateway, world).connected() as raw:
        answer = raw.request("POST", QUERIES, token=world.issuer.token("alice"), body=SQL)
    assert answer.status == 200


def test_what_google_sees_is_the_gateways_credential_and_no_other(gateway: RunningGateway, world: World) -> None:
    with Attack(gateway, world).connected() as raw:
        headers = ("Cookie: SID=mine", "X-Goog-Api-Key: AIza", "X-Goog-IAM-Authority-Selector: x")
        answer = raw.request(
            "GET", f"{DATASETS}?key=AIza&prettyPrint=false", token=world.issuer.token("alice"), headers=headers
        )
    assert answer.status == 200
    seen = world.bigquery.requests()[-1]
    assert seen.who == world.google.gateway_account.email
    assert "AIza" not in repr(seen)
    assert "SID" not in repr(seen)


def test_bobs_job_in_alices_hand_is_refused(gateway: RunningGateway, world: World) -> None:
    attack = Attack(gateway, world)
    job = {
        "jobReference": {"projectId": "acme", "jobId": "bobs-own-job"},
        "configuration": {"query": {"query": "SELECT salary FROM shop.employees", "useLegacySql": False}},
    }
    with attack.connected() as raw:
        made = raw.request("POST", "/bigquery/v2/projects/acme/jobs", token=attack.bob, body=job)
        assert made.status == 200
        destination = json.loads(made.body)["configuration"]["query"]["destinationTable"]
    anonymous = f"{destination['datasetId']}.{destination['tableId']}"
    upstream = len(world.bigquery.requests())
    with attack.connected() as raw:
        for target in (
            "/bigquery/v2/projects/acme/queries/bobs-own-job",
            "/bigquery/v2/projects/acme/jobs/bobs-own-job",
            f"/bigquery/v2/projects/acme/datasets/{destination['datasetId']}/tables/{destination['tableId']}/data",
        ):
            answer = raw.request("GET", target, token=attack.alice)
            assert (answer.status, "not yours" in answer.message) == (403, True), target
        statement = {"query": f"SELECT * FROM `acme.{anonymous}`", "useLegacySql": False}
        assert raw.request("POST", QUERIES, token=attack.alice, body=statement).status == 403
        cancel = raw.request("POST", "/bigquery/v2/projects/acme/jobs/bobs-own-job/cancel", token=attack.alice)
        assert cancel.status == 403
    assert len(world.bigquery.requests()) == upstream
    with attack.connected() as raw:
        mine = raw.request("GET", "/bigquery/v2/projects/acme/queries/bobs-own-job", token=attack.bob)
        assert mine.status == 200
        listed = raw.request("GET", "/bigquery/v2/projects/acme/jobs?allUsers=true", token=attack.alice)
    assert b"bobs-own-job" not in listed.body


def test_what_was_refused_is_in_the_archive(gateway: RunningGateway, world: World) -> None:
    """One of each class of refusal, found by its rule or its type."""
    attack = Attack(gateway, world)
    for one in (access_token_in_the_url, other_host_header, unknown_path, tunnel_to_the_metadata_server):
        one(attack)
    found = gateway.ask("SELECT DISTINCT coalesce(details->>'rule', type) FROM events")
    assert {("carrier.query",), ("route.mismatch",), ("door.unknown",), ("tunnel.refused",)} <= set(found)


def test_a_client_that_resets_in_the_middle_leaves_the_gateway_well(gateway: RunningGateway, world: World) -> None:
    attack = Attack(gateway, world)
    for _ in range(5):
        raw = attack.connected()
        raw.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.connection.sendall(f"POST {QUERIES} HTTP/1.1\r\nHost: {BIGQUERY}\r\nContent-Length: 100\r\n\r\n".encode())
        raw.connection.close()
    with attack.connected() as raw:
        assert raw.request("POST", QUERIES, token=attack.alice, body=SQL).status == 200
