"""The doors of the real gateway: under every name of BigQuery's, in batches, and against what could be read in two ways."""

import gzip
import json
import ssl

import pytest

from hoop_mitm.devkit.bigquery import PRIVATE_HOST
from tests.attacks.raw import BIGQUERY, Raw
from tests.gateways import RunningGateway

V2 = "/bigquery/v2/projects/acme"
DATASETS = f"{V2}/datasets"
QUERIES = f"{V2}/queries"
SQL = {"query": "SELECT 1", "useLegacySql": False}


@pytest.fixture(scope="module")
def gateway(world, tmp_path_factory):
    directory = tmp_path_factory.mktemp("doors")
    with RunningGateway(world, directory, gateway={"private_hosts": [PRIVATE_HOST]}) as running:
        yield running


def to(gateway, host, *, verify=True):
    raw = Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem")
    raw.connect(host)
    return raw.tls(host, verify=verify)


def arrived(world):
    return len(world.bigquery.requests())


@pytest.mark.parametrize(
    "host",
    [
        BIGQUERY,
        "www.googleapis.com",
        "us-bigquery.googleapis.com",
        "bigquery.us.rep.googleapis.com",
        "bigquery.europe-west3.rep.googleapis.com",
        PRIVATE_HOST,
    ],
)
def test_a_host_that_is_served_gets_the_gateways_credential(world, gateway, host):
    with to(gateway, host) as raw:
        got = raw.request("GET", DATASETS, host=host, token=world.issuer.token("alice"))
    assert got.status == 200
    seen = world.bigquery.requests()[-1]
    assert seen.host == host
    assert seen.who == world.google.gateway_account.email


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("bigquery.mtls.googleapis.com", "GOOGLE_API_USE_MTLS_ENDPOINT=never"),
        ("bigquerystorage.mtls.googleapis.com", "GOOGLE_API_USE_CLIENT_CERTIFICATE=false"),
        ("bigqueryreservation.googleapis.com", "another API"),
    ],
)
def test_a_host_that_is_refused_says_why(world, gateway, host, words):
    before = arrived(world)
    with to(gateway, host) as raw:
        got = raw.request("GET", DATASETS, host=host, token=world.issuer.token("alice"))
    assert got.status == 403
    assert words in got.message
    assert arrived(world) == before


@pytest.mark.parametrize("host", ["bigquery-other.p.googleapis.com", "atlantis-bigquery.googleapis.com"])
def test_a_host_that_nobody_vouches_for_is_not_believed_and_not_served(world, gateway, host):
    before = arrived(world)
    with pytest.raises(ssl.SSLError):
        to(gateway, host)
    with to(gateway, host, verify=False) as raw:
        got = raw.request("GET", DATASETS, host=host, token=world.issuer.token("alice"))
    assert got.status == 403
    assert "hoop-mitm does not forward to" in got.message
    assert arrived(world) == before


def batch(*parts):
    """As google-api-python-client writes it, a credential in each part."""
    pieces = [
        "--===1==\nContent-Type: application/http\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\n"
        f"Content-ID: <a + {number}>\n\n{request} HTTP/1.1\n"
        f"accept: application/json\nauthorization: Bearer eyJ.inner.token\nHost: {BIGQUERY}\n\n\n"
        for number, request in enumerate(parts, 1)
    ]
    return ("\n".join([*pieces, "--===1==--"])).encode()


BATCH = ('Content-Type: multipart/mixed; boundary="===1=="',)


@pytest.mark.parametrize("path", ["/batch/bigquery/v2", "/batch"])
def test_a_batch_of_questions_is_answered_part_by_part(world, gateway, path):
    body = batch(f"GET {DATASETS}", f"GET {DATASETS}/shop/tables/orders?fields=schema")
    with to(gateway, BIGQUERY) as raw:
        got = raw.request("POST", path, token=world.issuer.token("alice"), body=body, headers=BATCH)
    assert got.status == 200
    assert got.body.count(b"HTTP/1.1 200 OK") == 2
    assert b"bigquery#datasetList" in got.body
    assert b"<response-a + 2>" in got.body
    seen = world.bigquery.requests()[-1]
    assert seen.path == path
    assert b"inner" not in seen.body
    assert gateway.ask(f"SELECT count(*) FROM flows WHERE door = 'batch' AND status = 200 AND url LIKE '%{path}'") == [
        (1,)
    ]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (f"POST {QUERIES}", "does not serve jobs.query in a batch"),
        (f"GET {DATASETS}/shop/tables/orders/data", "does not serve tabledata.list in a batch"),
        (f"DELETE {DATASETS}/shop/tables/orders", "does not serve tables.delete in a batch"),
        ("GET /bigquery/v2/projects/other/datasets", "Project other belongs to no connection"),
        ("GET /storage/v1/b", "does not know GET /storage/v1/b"),
    ],
)
def test_a_batch_with_one_part_that_may_not_is_not_sent_at_all(world, gateway, second, words):
    before = arrived(world)
    with to(gateway, BIGQUERY) as raw:
        got = raw.request(
            "POST",
            "/batch/bigquery/v2",
            token=world.issuer.token("alice"),
            body=batch(f"GET {DATASETS}", second),
            headers=BATCH,
        )
    assert got.status == 403
    assert words in got.message
    assert arrived(world) == before


def text(value):
    return json.dumps(value).encode()


def job(**reference):
    return {"jobReference": reference, "configuration": {"query": SQL}}


BOMB = gzip.compress(b" " * (64 * 2**20))
JSON = "Content-Type: application/json"
TWICE = b'{"query": "SELECT 1", "query": "DROP TABLE shop.orders", "useLegacySql": false}'
#: What is sent, and a word of the refusal: one row for each class of what could be understood in two ways.
BAD = {
    "a key twice": ("POST", QUERIES, TWICE, (JSON,), "occurs twice"),
    "both spellings": ("POST", QUERIES, text(SQL | {"use_legacy_sql": True}), (JSON,), "camelCase"),
    "a list for an object": ("POST", QUERIES, b"[]", (JSON,), "not an object"),
    "a number for a statement": ("POST", QUERIES, text(SQL | {"query": 1}), (JSON,), "query must be a string"),
    "NaN": ("POST", QUERIES, b'{"query": "SELECT 1", "maxResults": NaN}', (JSON,), "not valid JSON"),
    "two kinds of job": (
        "POST",
        f"{V2}/jobs",
        text({"configuration": {"query": SQL, "copy": {}}}),
        (JSON,),
        "exactly one",
    ),
    "an override": ("GET", DATASETS, b"", ("X-HTTP-Method-Override: DELETE",), "override"),
    "another override": ("POST", QUERIES, text(SQL), (JSON, "X-Method-Override: DELETE"), "overrides"),
    "a mask that hides the job": ("POST", f"{QUERIES}?fields=rows", text(SQL), (JSON,), "leaves out jobReference"),
    "a mask in a header": ("POST", QUERIES, text(SQL), (JSON, "X-Goog-FieldMask: rows"), "leaves out jobReference"),
    "two masks": ("GET", f"{DATASETS}?fields=a&fields=b", b"", (), "occurs twice"),
    "another spelling of a parameter": ("GET", f"{V2}/jobs?parent_job_id=bobs", b"", (), "must be spelled"),
    "Google's second way": (
        "POST",
        f"{QUERIES}?%24httpMethod=DELETE",
        text(SQL),
        (JSON,),
        "change what the request means",
    ),
    "a bomb": ("POST", QUERIES, BOMB, (JSON, "Content-Encoding: gzip"), "larger than"),
    "another project, for the quota": ("GET", DATASETS, b"", ("X-Goog-User-Project: other",), "Project other"),
    "another project, for the job": ("POST", f"{V2}/jobs", text(job(projectId="other")), (JSON,), "projectId"),
    "another project, for names": (
        "POST",
        QUERIES,
        text(SQL | {"connectionProperties": [{"key": "dataset_project_id", "value": "other"}]}),
        (JSON,),
        "Project other",
    ),
    "another's session": (
        "POST",
        QUERIES,
        text(SQL | {"connectionProperties": [{"key": "session_id", "value": "bobs"}]}),
        (JSON,),
        "not yours",
    ),
    "another account": (
        "POST",
        QUERIES,
        text(SQL | {"connectionProperties": [{"key": "service_account", "value": "root@acme"}]}),
        (JSON,),
        "service account",
    ),
    "a label of ours": (
        "POST",
        QUERIES,
        text(SQL | {"query": "SET @@query_label = 'hoop-session:x'; SELECT 1"}),
        (JSON,),
        "gateway's",
    ),
    "a credential in the URL": ("GET", f"{DATASETS}?access_token=ya29.x", b"", (), "token in the URL"),
    "access": ("POST", f"{DATASETS}/shop/tables/orders:setIamPolicy", b"{}", (JSON,), "who may read"),
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_what_could_be_understood_in_two_ways_is_not_forwarded(world, gateway, row):
    method, target, body, headers, words = row
    before = arrived(world)
    with to(gateway, BIGQUERY) as raw:
        got = raw.request(method, target, token=world.issuer.token("alice"), body=body, headers=headers)
    assert got.status == 403
    assert words in got.message
    assert arrived(world) == before
