"""Which requests reach a door, and which tricks do not."""

import pytest

from hoop_mitm.bigquery import methods
from hoop_mitm.bigquery.doors import DOORS, STORAGE_DOORS, effective_method, find, match, names_in
from hoop_mitm.errors import Denied

REST = "bigquery.googleapis.com"
STORAGE = "bigquerystorage.googleapis.com"
V2 = "/bigquery/v2/projects/acme"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/bigquery/v2/projects", "projects.list"),
        ("GET", "/$discovery/rest?version=v2", "discovery.getRest"),
        ("GET", f"{V2}/serviceAccount", "projects.getServiceAccount"),
        ("POST", f"{V2}/jobs", "jobs.insert"),
        ("GET", f"{V2}/jobs", "jobs.list"),
        ("GET", f"{V2}/jobs/bqjob_r1_2", "jobs.get"),
        ("POST", f"{V2}/jobs/j/cancel", "jobs.cancel"),
        ("DELETE", f"{V2}/jobs/j/delete", "jobs.delete"),
        ("POST", f"{V2}/queries", "jobs.query"),
        ("GET", f"{V2}/queries/j", "jobs.getQueryResults"),
        ("GET", f"{V2}/queries/j?maxResults=0&alt=json", "jobs.getQueryResults"),
        ("GET", f"{V2}/datasets", "datasets.list"),
        ("PATCH", f"{V2}/datasets/shop", "datasets.patch"),
        ("GET", f"{V2}/datasets/shop/tables", "tables.list"),
        ("GET", f"{V2}/datasets/shop/tables/orders$20260101", "tables.get"),
        ("GET", f"{V2}/datasets/shop/tables/orders%2420260101", "tables.get"),
        ("GET", f"{V2}/datasets/shop/tables/pr%C3%BCf%20stand", "tables.get"),
        ("GET", f"{V2}/datasets/shop/tables/orders/data", "tabledata.list"),
        ("POST", f"{V2}/datasets/shop/tables/orders/insertAll", "tabledata.insertAll"),
        ("POST", f"{V2}/datasets/shop/tables/orders:getIamPolicy", "tables.getIamPolicy"),
        ("GET", f"{V2}/datasets/shop/tables/orders/rowAccessPolicies", "rowAccessPolicies.list"),
        ("GET", f"{V2}/datasets/shop/routines/f", "routines.get"),
        ("GET", f"{V2}/datasets/shop/models", "models.list"),
        ("POST", "/upload/bigquery/v2/projects/acme/jobs?uploadType=multipart", "jobs.insert"),
        ("PUT", "/upload/bigquery/v2/projects/acme/jobs?uploadType=resumable&upload_id=x", "jobs.upload"),
        ("POST", "/upload/bigquery/v2/projects/acme/jobs?uploadType=resumable&upload_id=x", "jobs.upload"),
        ("POST", "/resumable/upload/bigquery/v2/projects/acme/jobs", "jobs.insert"),
        ("GET", "/bigquery/v2/projects/example.com:acme/jobs", "jobs.list"),
        ("GET", "/bigquery/v2/projects/example.com%3Aacme/jobs", "jobs.list"),
    ],
)
def test_a_method_that_clients_need_has_a_door(method, path, name):
    for host in (REST, "www.googleapis.com"):
        door = find(host, method, path)
        assert door
        assert door.name == name


@pytest.mark.parametrize(
    ("service", "method", "streams"),
    [
        ("BigQueryRead", "CreateReadSession", (False, False)),
        ("BigQueryRead", "ReadRows", (False, True)),
        ("BigQueryRead", "SplitReadStream", (False, False)),
        ("BigQueryWrite", "CreateWriteStream", (False, False)),
        ("BigQueryWrite", "AppendRows", (True, True)),
        ("BigQueryWrite", "GetWriteStream", (False, False)),
        ("BigQueryWrite", "FinalizeWriteStream", (False, False)),
        ("BigQueryWrite", "BatchCommitWriteStreams", (False, False)),
        ("BigQueryWrite", "FlushRows", (False, False)),
    ],
)
def test_the_storage_api_has_a_door_for_each_call(service, method, streams):
    door = find(STORAGE, "POST", f"/google.cloud.bigquery.storage.v1.{service}/{method}")
    assert door
    assert (door.name, door.protocol) == (f"storage.{method}", "grpc")
    assert (door.streams_request, door.streams_response) == streams


@pytest.mark.parametrize(
    ("host", "method", "path"),
    [
        # Encoded, doubled, dotted, cut and decorated segments.
        (REST, "GET", "/bigquery/v2/projects/acme%2Fjobs%2Fj"),
        (REST, "GET", f"{V2}/jobs/a%2Fb"),
        (REST, "GET", f"{V2}/jobs/a%252Fb"),
        (REST, "GET", f"{V2}/datasets/shop%2Ftables%2Forders"),
        (REST, "GET", f"{V2}/datasets/shop/tables/..%2f..%2fother"),
        (REST, "GET", f"{V2}/datasets/shop/tables/%2e%2e"),
        (REST, "GET", f"{V2}/datasets/shop/../other"),
        (REST, "GET", f"{V2}/datasets/.."),
        (REST, "GET", "//bigquery/v2/projects/acme/jobs"),
        (REST, "GET", "/bigquery/v2//projects/acme/jobs"),
        (REST, "GET", f"{V2}//jobs"),
        (REST, "GET", f"{V2}/jobs/"),
        (REST, "GET", f"{V2}/jobs/j;x=1"),
        (REST, "GET", f"{V2}/datasets/shop;a/tables"),
        (REST, "GET", f"{V2}/datasets/shop%3Ba/tables"),
        (REST, "GET", f"{V2}/datasets/shop/tables/orders%00"),
        (REST, "GET", f"{V2}/datasets/shop/tables/%ff"),
        (REST, "GET", f"{V2}/datasets/shop/tables/a\\b"),
        (REST, "GET", "/./bigquery/v2/projects"),
        # Literal segments in another spelling.
        (REST, "GET", "/BigQuery/v2/projects/acme/jobs"),
        (REST, "GET", "/bigquery/v2/Projects/acme/jobs"),
        (REST, "GET", f"{V2}/%6Aobs"),
        (REST, "get", f"{V2}/jobs"),
        # Another method, host or API.
        (REST, "PUT", f"{V2}/jobs"),
        (REST, "HEAD", f"{V2}/jobs"),
        (REST, "OPTIONS", f"{V2}/jobs"),
        (REST, "POST", "/batch/bigquery/v2/"),
        (REST, "GET", "/batch/bigquery/v2"),
        (REST, "POST", "/batch/storage/v1"),
        ("www.googleapis.com", "POST", "/mcp"),
        (REST, "PUT", "/mcp"),
        (REST, "POST", "/mcp/"),
        (REST, "POST", "/mcp/sse"),
        (REST, "POST", "/bigquery/mcp"),
        (STORAGE, "POST", "/mcp"),
        (REST, "POST", "/$discovery/rest"),
        (REST, "GET", "/$discovery/rest/"),
        (REST, "GET", "/%24discovery/rest"),
        (REST, "POST", "/"),
        (REST, "GET", "/discovery/v1/apis/bigquery/v2/rest"),
        (REST, "POST", f"{V2}/datasets/shop/tables/orders:setiampolicy"),
        (REST, "POST", f"{V2}/datasets/shop:delete"),
        ("us-east99-bigquery.googleapis.com", "GET", f"{V2}/jobs"),
        ("bigquery.mtls.googleapis.com", "GET", f"{V2}/jobs"),
        ("bigquery-acme.p.googleapis.com", "GET", f"{V2}/jobs"),
        ("bigquery.us.rep.googleapis.com", "POST", "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"),
        ("BigQuery.googleapis.com", "GET", f"{V2}/jobs"),
        ("bigquery.googleapis.com.", "GET", f"{V2}/jobs"),
        ("bigquery.googleapis.com.evil.example", "GET", f"{V2}/jobs"),
        ("www.googleapis.com", "GET", "/storage/v1/b"),
        (STORAGE, "GET", "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1beta3.BigQueryRead/ReadRows"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows/"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1.bigqueryread/ReadRows"),
        (STORAGE, "POST", f"{V2}/queries"),
        (REST, "POST", "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"),
    ],
)
def test_a_trick_has_no_door(host, method, path):
    assert find(host, method, path) is None


@pytest.mark.parametrize(
    "target",
    [
        f"{V2}/jobs#x",
        f"{V2}/jobs?x#&parentJobId=bobs",
        f"/upload{V2}/jobs?uploadType=resumable&x#&upload_id=bobs",
        f"{V2}/jobs?a=b c",
        f"{V2}/jobs?a=\tb",
        f"{V2}/jobs?a=b\n",
        f"{V2}/jobs?a=\x7f",
        f"{V2}/jobs?a=é",
        f"{V2}/jobs?a=\udcff",
        f"{V2}/datasets/straße/tables",
    ],
)
def test_a_target_that_could_end_elsewhere_is_refused(target):
    with pytest.raises(Denied, match="percent-encoded"):
        find(REST, "GET", target)


def test_names_in_a_path_are_decoded_once():
    found = match(REST, "GET", f"{V2}/datasets/shop/tables/orders%2420260101")
    assert found
    assert found[1] == {"project": "acme", "dataset": "shop", "table": "orders$20260101"}


def test_names_are_read_only_from_the_paths_of_their_door():
    door = find(REST, "GET", f"{V2}/jobs/j")
    assert door
    assert names_in(door, f"{V2}/jobs/j") == {"project": "acme", "job": "j"}
    assert names_in(door, f"{V2}/queries/j") is None


@pytest.mark.parametrize(
    ("host", "method", "path", "why"),
    [
        (REST, "POST", f"{V2}/datasets/shop/tables/orders:setIamPolicy", "who may read"),
        (REST, "POST", f"{V2}/datasets/shop/routines/f:setIamPolicy", "who may read"),
        (REST, "GET", "/mcp", "not offered"),
        (REST, "DELETE", "/mcp", "by itself"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows", "insertAll"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1beta1.BigQueryStorage/ReadRows", "Use v1"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1beta2.BigQueryRead/ReadRows", "Use v1"),
        (STORAGE, "POST", "/google.cloud.bigquery.storage.v1beta2.BigQueryWrite/AppendRows", "Use v1"),
        (
            STORAGE,
            "POST",
            "/google.cloud.bigquery.storage.v1alpha.MetastorePartitionService/StreamMetastorePartitions",
            "metastore",
        ),
    ],
)
def test_a_door_that_does_not_open_says_why(host, method, path, why):
    door = find(host, method, path)
    assert door
    assert why in door.refused


def test_every_method_of_googles_has_a_row():
    """Google's lists gained a method? Give it a door in ``doors``, or a refusal with its reason."""
    assert methods.DISCOVERY.methods.keys() - DOORS.keys() == set()
    assert DOORS.keys() - methods.DISCOVERY.methods.keys() == set()
    listed = {
        f"/{package}.{service}/{method}"
        for package, services in methods.STORAGE.items()
        for service, names in services.items()
        for method in names
    }
    assert listed == STORAGE_DOORS.keys()


def test_each_method_is_found_at_its_own_path_and_nowhere_else():
    names = {"project": "acme", "job": "j", "dataset": "d", "table": "t", "routine": "r", "model": "m", "policy": "p"}
    for name, (verb, path) in methods.DISCOVERY.methods.items():
        door = find(REST, verb, methods.DISCOVERY.base + path.format(**names))
        assert door is DOORS[name]


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {}, "GET"),
        ("POST", {"X-HTTP-Method-Override": "GET"}, "GET"),
        ("POST", [("x-http-method-override", "PATCH")], "PATCH"),
        ("POST", {"x-http-method-override": "DELETE"}, "DELETE"),
        ("POST", {"x-http-method-override": "PUT"}, "PUT"),
    ],
)
def test_the_method_is_the_one_that_bigquery_will_see(method, headers, expected):
    assert effective_method(method, headers) == expected


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"x-http-method-override": "DELETE"}),
        ("PUT", {"x-http-method-override": "POST"}),
        ("POST", {"x-http-method-override": "get"}),
        ("POST", {"x-http-method-override": "POST"}),
        ("POST", {"x-http-method-override": ""}),
        ("POST", {"x-http-method-override": "HEAD"}),
        ("POST", [("x-http-method-override", "GET"), ("X-HTTP-Method-Override", "DELETE")]),
        ("POST", {"x-http-method": "DELETE"}),
        ("POST", {"x-method-override": "DELETE"}),
    ],
)
def test_any_other_override_is_refused(method, headers):
    with pytest.raises(Denied, match="method"):
        effective_method(method, headers)
