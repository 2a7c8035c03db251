"""What a request means; and the bypasses, each tried first, that must be refused or seen through."""

import gzip
import json

import pytest
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.bigquery import doors
from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.bigquery.reading import append_facts, projects, read
from hoop_mitm.errors import Denied

REST = "bigquery.googleapis.com"
STORAGE = "bigquerystorage.googleapis.com"
V2 = "/bigquery/v2/projects/acme"
UPLOAD = "/upload/bigquery/v2/projects/acme/jobs"
JSON = {"content-type": "application/json"}
DS = "_0e32b38e1117b2fcea992287c138bd53acfff7cc"
BOBS = Resource("table", f"acme.{DS}.anonb0b")
BOBS_REF = {"projectId": "acme", "datasetId": DS, "tableId": "anonb0b"}
ORDERS = {"projectId": "acme", "datasetId": "shop", "tableId": "orders"}


def ask(method, path, body=None, query=(), headers=None, **kwargs):
    """Reads one request; a dict body is sent as JSON."""
    headers = dict(headers or {})
    if isinstance(body, dict):
        body, headers = json.dumps(body).encode(), JSON | headers
    door = doors.find(REST, doors.effective_method(method, headers), path)
    assert door, path
    return read(door, path=path, query=list(query), headers=headers, body=body if body is not None else b"", **kwargs)


def query_job(body=None, **job):
    return ask(
        "POST",
        f"{V2}/jobs",
        {"configuration": {"query": {"query": "SELECT 1", "useLegacySql": False} | job}} | (body or {}),
    )


def jobs_query(**body):
    return ask("POST", f"{V2}/queries", {"query": "SELECT 1", "useLegacySql": False} | body)


# ------------------------------------------------------------------------------------------------------ what is read


def test_an_inserted_query_says_all_its_facts():
    operation = ask(
        "POST",
        f"{V2}/jobs",
        {
            "jobReference": {"projectId": "acme", "jobId": "job-1", "location": "EU"},
            "configuration": {
                "labels": {"team": "a"},
                "query": {"query": "SELECT 'é'", "useLegacySql": False, "destinationTable": ORDERS},
            },
        },
    )
    assert operation.statement == "SELECT 'é'"
    assert operation.project == "acme"
    assert operation.location == "EU"
    assert operation.job_id == "job-1"
    assert operation.labels == {"team": "a"}
    assert operation.tables == (TableRef("acme", "shop", "orders"),)
    assert operation.uses == ()
    assert operation.claims == (Resource("job", "acme:job-1"),)
    assert not operation.dry_run


def test_a_query_without_a_job_id_says_its_facts():
    operation = jobs_query(dryRun=True, labels={"a": "b"}, location="US", requestId="r")
    assert (operation.job_id, operation.dry_run, operation.location) == (None, True, "US")
    assert operation.labels == {"a": "b"}
    assert operation.claims == ()


def test_a_dry_run_claims_no_job():
    operation = ask(
        "POST",
        f"{V2}/jobs",
        {"jobReference": {"jobId": "j"}, "configuration": {"dryRun": True, "query": {"query": "SELECT 1"}}},
    )
    assert operation.dry_run
    assert operation.claims == ()


def test_compressed_json_is_read():
    body = gzip.compress(json.dumps({"query": "SELECT 1"}).encode())
    assert ask("POST", f"{V2}/queries", body, headers=JSON | {"content-encoding": "gzip"}).statement == "SELECT 1"


def test_a_table_in_the_path_is_a_table_without_its_decorator():
    operation = ask("GET", f"{V2}/datasets/shop/tables/orders$20260101/data")
    assert operation.tables == (TableRef("acme", "shop", "orders"),)
    assert operation.uses == ()


def test_a_multipart_upload_is_read_from_its_first_part():
    body = (
        b'--b\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{"jobReference": {"jobId": "j", "projectId": "acme"}, '
        b'"configuration": {"load": {"destinationTable": {"projectId": "acme", "datasetId": "shop", "tableId": "t"}}}}'
        b'\r\n--b\r\ncontent-type: */*\r\n\r\n{"a": 1}\r\n--b--'
    )
    operation = ask(
        "POST", UPLOAD, body, [("uploadType", "multipart")], {"content-type": 'multipart/related; boundary="b"'}
    )
    assert operation.door.name == "jobs.insert"
    assert operation.job_id == "j"
    assert operation.tables == (TableRef("acme", "shop", "t"),)


def test_a_resumable_upload_starts_with_json_and_goes_on_with_its_id():
    start = ask(
        "POST",
        UPLOAD,
        {"jobReference": {"jobId": "j"}, "configuration": {"load": {"destinationTable": ORDERS}}},
        [("uploadType", "resumable")],
    )
    assert start.tables == (TableRef("acme", "shop", "orders"),)
    door = doors.find(REST, "PUT", UPLOAD)
    assert door
    assert door.streams_request
    rest = read(door, path=UPLOAD, query=[("uploadType", "resumable"), ("upload_id", "u")], headers={}, body=None)
    assert rest.uses == (Resource("upload", "u"),)


def test_a_long_get_that_came_as_post_is_read_from_its_form():
    headers = {"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"}
    operation = ask("POST", f"{V2}/queries/j", b"location=EU&pageToken=t%2B", headers=headers)
    assert operation.door.name == "jobs.getQueryResults"
    assert operation.location == "EU"
    assert operation.uses == (Resource("job", "acme:j"),)


INSERT_ALL = f"{V2}/datasets/shop/tables/orders/insertAll"


def test_rows_of_streaming_inserts_are_nobodys_business():
    body = b'{"skipInvalidRows": true, "rows": [{"json": {"templateSuffix": 1, "secureContext": 2, "any_key": 3}}]}'
    operation = ask("POST", INSERT_ALL, body, headers=JSON)
    assert operation.tables == (TableRef("acme", "shop", "orders"),)


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows": [], "templateSuffix": "_secret"}',
        b'{"rows": [], "template\\u0053uffix": "_secret"}',
        b'{"templateSuffix": "", "rows": []}',
        b'{"rows": [], "template_suffix": "_secret"}',
        b'{"rows": [], "TemplateSuffix": "_secret"}',
        b'{"rows": [1',
        b"[]",
        b"",
    ],
)
def test_what_stands_around_rows_makes_no_other_table_of_it(body):
    with pytest.raises(Denied):
        ask("POST", INSERT_ALL, body, headers=JSON)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": "SELECT 1", "secureContext": {"secureParameterEntries": {"user": "bob"}}}, "secure context"),
        ({"query": "SELECT 1", "queryResultsFormat": "ARROW"}, "queryResultsFormat"),
        ({"query": "SELECT 1", "runAs": "bob"}, "none that BigQuery's API describes"),
        ({"query": "SELECT 1", "Query": "DROP TABLE shop.orders"}, "none that BigQuery's API describes"),
        ({"query": "SELECT 1", "default_dataset": {}}, "camelCase"),
        ({"query": "SELECT 1", "formatOptions": {"new": True}}, "none that BigQuery's API describes"),
    ],
)
def test_what_a_query_may_not_set(body, words):
    with pytest.raises(Denied, match=words):
        jobs_query(**body)


@pytest.mark.parametrize(
    "body",
    [
        {"query": "SELECT 1", "queryResultsFormat": "STRUCT_ENCODING"},
        {"query": "SELECT 1", "labels": {"any_key": "x"}},
        {
            "query": "SELECT 1",
            "queryParameters": [{"name": "a", "parameterValue": {"structValues": {"a_b": {"value": "1"}}}}],
        },
        # Node's library sends its own settings along.
        {"query": "SELECT 1", "wrapIntegers": True},
    ],
)
def test_what_a_query_may_set(body):
    assert jobs_query(**body).statement == "SELECT 1"


@pytest.mark.parametrize("body", [b"", b"{}", b" null "])
def test_an_empty_body_is_no_body(body):
    assert ask("POST", f"{V2}/jobs/j/cancel", body).job_id == "j"


# ------------------------------------------------------------------------------------------------ whose things it names


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", f"{V2}/jobs/j", (), {Resource("job", "acme:j")}),
        ("GET", f"{V2}/jobs/J", (), {Resource("job", "acme:J")}),
        ("GET", "/bigquery/v2/projects/example.com%3Aacme/jobs/j", (), {Resource("job", "example.com:acme:j")}),
        ("POST", f"{V2}/jobs/j/cancel", (), {Resource("job", "acme:j")}),
        ("DELETE", f"{V2}/jobs/j/delete", (), {Resource("job", "acme:j")}),
        ("GET", f"{V2}/jobs", [("parentJobId", "j")], {Resource("job", "acme:j")}),
        ("GET", f"{V2}/datasets/{DS}/tables/anonb0b", (), {BOBS}),
        ("GET", f"{V2}/datasets/%5F{DS[1:]}/tables/%61nonb0b", (), {BOBS}),
        ("GET", f"{V2}/datasets/{DS}/tables/anonb0b@-1000/data", (), {BOBS}),
        ("GET", f"{V2}/datasets/{DS}/tables/anonb0b$20260101/data", (), {BOBS}),
        ("DELETE", f"{V2}/datasets/{DS}/tables/anonb0b", (), {BOBS}),
        ("GET", f"{V2}/datasets/{DS}/tables", (), {Resource("table", f"acme.{DS}.*")}),
        ("DELETE", f"{V2}/datasets/{DS}", (), {Resource("table", f"acme.{DS}.*")}),
        # A page is of a job or table that the path names: whoever may have that may have its pages.
        ("GET", f"{V2}/queries/j", [("pageToken", "t")], {Resource("job", "acme:j")}),
        ("GET", f"{V2}/datasets/{DS}/tables/anonb0b/data", [("pageToken", "t")], {BOBS}),
        ("GET", f"{V2}/datasets/shop/tables/orders/data", [("pageToken", "t")], set()),
    ],
)
def test_what_a_path_names_must_be_the_principals_own(method, path, query, expected):
    assert set(ask(method, path, query=query).uses) == expected


@pytest.mark.parametrize(
    "operation",
    [
        lambda: query_job(query=f"SELECT * FROM `acme`.`{DS}`.anonb0b"),
        lambda: query_job(query=f"SELECT * FROM [{DS}.anonb0b]", useLegacySql=True),
        lambda: query_job(query=f"SELECT * FROM [acme:{DS}.anonb0b]", useLegacySql=None),
        lambda: query_job(query=f"SELECT * FROM `acme.\\x5f{DS[1:]}.anonb0b`", useLegacySql=None),
        lambda: query_job(
            query="CALL shop.run(@a)",
            queryParameters=[
                {"name": "a", "parameterValue": {"arrayValues": [{"value": f"SELECT * FROM {DS}.anonb0b"}]}}
            ],
        ),
        lambda: query_job(destinationTable=BOBS_REF),
        lambda: query_job(tableDefinitions={"x": {"fields": [BOBS_REF]}}),
        lambda: jobs_query(query=f"SELECT * FROM acme.{DS}.anonb0b"),
        lambda: ask("POST", f"{V2}/jobs", {"configuration": {"copy": {"sourceTable": BOBS_REF}}}),
        lambda: ask("POST", f"{V2}/jobs", {"configuration": {"copy": {"sourceTables": [ORDERS, BOBS_REF]}}}),
        lambda: ask("POST", f"{V2}/jobs", {"configuration": {"extract": {"sourceTable": BOBS_REF}}}),
        lambda: ask(
            "POST", f"{V2}/jobs", {"configuration": {"extract": {"sourceTable": BOBS_REF | {"projectId": None}}}}
        ),
        lambda: ask("POST", f"{V2}/datasets/shop/tables", {"cloneDefinition": {"baseTableReference": BOBS_REF}}),
        lambda: ask("POST", f"{V2}/datasets/shop/tables", {"view": {"query": f"SELECT * FROM {DS}.anonb0b"}}),
        lambda: ask("PATCH", f"{V2}/datasets/shop/tables/v", {"view": {"query": f"SELECT * FROM [{DS}.anonb0b]"}}),
        lambda: ask("POST", f"{V2}/datasets/shop/routines", {"definitionBody": f"(SELECT 1 FROM {DS}.anonb0b)"}),
        lambda: ask(
            "POST",
            f"{V2}/datasets/shop/tables/t/rowAccessPolicies",
            {"filterPredicate": f"id IN (SELECT id FROM {DS}.anonb0b)"},
        ),
    ],
)
def test_bobs_result_is_seen_wherever_a_body_names_it(operation):
    assert BOBS in operation().uses


@pytest.mark.parametrize(
    "operation",
    [
        lambda: query_job(query="SELECT * FROM anonb0b", defaultDataset={"datasetId": DS}),
        lambda: jobs_query(query="SELECT * FROM anonb0b", defaultDataset={"datasetId": DS, "projectId": "acme"}),
    ],
)
def test_a_hidden_default_dataset_is_nobodys(operation):
    assert Resource("table", f"acme.{DS}.*") in operation().uses


@pytest.mark.parametrize("key", ["session_id", "Session_ID"])
@pytest.mark.parametrize("ask_for", [query_job, jobs_query])
def test_a_bigquery_session_must_be_ones_own(ask_for, key):
    operation = ask_for(connectionProperties=[{"key": key, "value": "s1"}])
    assert operation.uses == (Resource("bq_session", "s1"),)


def test_the_sessions_project_decides_what_bare_names_mean():
    operation = query_job(
        query=f"SELECT * FROM {DS}.anonb0b", connectionProperties=[{"key": "dataset_project_id", "value": "other"}]
    )
    assert operation.uses == (Resource("table", f"other.{DS}.anonb0b"),)
    assert projects(operation) == {"acme", "other"}


# ------------------------------------------------------------------------------------------------------------- projects


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda: ask("GET", "/bigquery/v2/projects"), set()),
        (lambda: ask("GET", f"{V2}/jobs"), {"acme"}),
        (lambda: ask("GET", "/bigquery/v2/projects/123456/jobs"), {"123456"}),
        (lambda: ask("GET", "/bigquery/v2/projects/ACME/jobs"), {"ACME"}),
        (lambda: ask("GET", f"{V2}/jobs", headers={"X-Goog-User-Project": "payer"}), {"acme", "payer"}),
        (lambda: query_job(destinationTable=ORDERS | {"projectId": "evil"}), {"acme", "evil"}),
        (lambda: query_job(defaultDataset={"projectId": "evil", "datasetId": "d"}), {"acme", "evil"}),
        (
            lambda: ask(
                "POST", f"{V2}/jobs", {"configuration": {"copy": {"sourceTables": [ORDERS | {"projectId": "e"}]}}}
            ),
            {"acme", "e"},
        ),
        (
            lambda: ask("PATCH", f"{V2}/datasets/shop", {"access": [{"view": ORDERS | {"projectId": "e"}}]}),
            {"acme", "e"},
        ),
        (lambda: jobs_query(reservation="projects/e/locations/US/reservations/r"), {"acme", "e"}),
        *(
            (lambda place=place: query_job(tableDefinitions={"t": place}), {"acme", "other"})
            for place in (
                {"connectionId": "other.us.c"},
                {"connectionId": "other.us;c"},
                {"connectionId": "projects/other/locations/us/connections/c"},
                {"connectionId": "//bigqueryconnection.googleapis.com/projects/other/locations/us/connections/c"},
                {"bigtableOptions": {"connection": "other.us.c"}},
            )
        ),
        (lambda: query_job(tableDefinitions={"labels": {"connectionId": "other.us.c"}}), {"acme", "other"}),
        (
            lambda: query_job(tableDefinitions={"t": {"connectionId": "example.com:other.us.c"}}),
            {"acme", "example.com:other"},
        ),
        (lambda: query_job(tableDefinitions={"t": {"connectionId": "us.c"}}), {"acme"}),
        (
            lambda: jobs_query(destinationEncryptionConfiguration={"kmsKeyName": "projects/keys/locations/US/x"}),
            {"acme"},
        ),
    ],
)
def test_every_project_that_is_named_is_known(operation, expected):
    assert projects(operation()) == expected


# -------------------------------------------------------------------------------------------------- what is refused


def raw(text):
    return lambda: ask("POST", f"{V2}/jobs", text, headers=JSON)


@pytest.mark.parametrize(
    "request_",
    [
        # Two readers of the JSON would see two requests.
        raw(b'{"configuration": {"query": {"query": "SELECT 1", "query": "DROP TABLE t"}}}'),
        raw(b'{"configuration": {"query": {"query": "SELECT 1"}}, "configuration": {"query": {"query": "DROP"}}}'),
        raw(
            b'{"configuration": {"query": {"query": "SELECT 1"}}, "c\\u006fnfiguration": {"query": {"query": "DROP"}}}'
        ),
        raw(b'{"configuration": {"query": {"query": "SELECT 1"}, "load": {}}}'),
        raw(b'{"configuration": {}}'),
        raw(b"{}"),
        raw(b"[]"),
        raw(b""),
        raw(b"configuration=1"),
        lambda: query_job({"job_reference": {"jobId": "bobs"}}),
        lambda: query_job(destination_table=BOBS_REF),
        lambda: query_job(default_dataset={"dataset_id": DS}),
        lambda: query_job(use_legacy_sql=True),
        lambda: query_job(destinationTable={"project_id": "evil"} | ORDERS),
        lambda: jobs_query(dry_run=True),
        lambda: jobs_query(connection_properties=[]),
        # Wrong types where a fact is needed.
        lambda: query_job(query=["SELECT 1"]),
        lambda: query_job(query=None),
        lambda: query_job(query=""),
        lambda: query_job(query="\ud800"),
        lambda: query_job(useLegacySql="false"),
        lambda: query_job(defaultDataset="shop"),
        lambda: query_job(defaultDataset={"datasetId": 1}),
        lambda: query_job(destinationTable={"datasetId": {}, "tableId": "t"}),
        lambda: query_job(connectionProperties={"key": "session_id"}),
        lambda: query_job({"jobReference": "j"}),
        lambda: query_job({"jobReference": {"jobId": 1}}),
        lambda: jobs_query(dryRun="true"),
        lambda: jobs_query(labels={"a": 1}),
        lambda: jobs_query(labels=["a"]),
        # The body names another thing than the path.
        lambda: query_job({"jobReference": {"projectId": "other", "jobId": "j"}}),
        lambda: query_job({"jobReference": {"projectId": "ACME", "jobId": "j"}}),
        lambda: query_job({"jobReference": {"jobId": "../bobs"}}),
        lambda: query_job({"jobReference": {"jobId": "a:b"}}),
        lambda: ask("PATCH", f"{V2}/datasets/shop/tables/a", {"tableReference": ORDERS}),
        lambda: ask("POST", f"{V2}/datasets/other/tables", {"tableReference": ORDERS}),
        lambda: ask("PUT", f"{V2}/datasets/other", {"datasetReference": {"datasetId": "shop"}}),
        # Powers that are the gateway's.
        lambda: query_job(connectionProperties=[{"key": "service_account", "value": "x@y"}]),
        lambda: query_job(connectionProperties=[{"key": "query_label", "value": "hoop-session:bobs"}]),
        lambda: query_job(
            connectionProperties=[{"key": "session_id", "value": "a"}, {"key": "session_id", "value": "b"}]
        ),
        # The query string says more than it should.
        *(
            lambda query=query: ask("GET", f"{V2}/queries/j", query=query)
            for query in (
                [("$httpMethod", "DELETE")],
                [("$httpHeaders", "x-goog-user-project:evil")],
                [("$alt", "media")],
                [("alt", "media")],
                [("alt", "proto")],
                [("callback", "f")],
                [("access_token", "x")],
                [("oauth_token", "x")],
                [("key", "x")],
                [("pageToken", "a"), ("pageToken", "b")],
                [("location", "US"), ("location", "EU")],
                [("uploadType", "media")],
                [("upload_protocol", "resumable")],
            )
        ),
        # Bodies where none belongs, and of another kind.
        lambda: ask("GET", f"{V2}/queries/j", b"{'a': 1}"),
        lambda: ask(
            "GET", f"{V2}/queries/j", b"pageToken=x", headers={"content-type": "application/x-www-form-urlencoded"}
        ),
        lambda: ask(
            "POST",
            f"{V2}/queries/j",
            b"access_token=x",
            headers={"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"},
        ),
        lambda: ask(
            "POST",
            f"{V2}/queries/j",
            b"pageToken=a&pageToken=b",
            headers={"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"},
        ),
        lambda: ask("DELETE", f"{V2}/jobs/j/delete", b"x"),
        lambda: ask(
            "POST", f"{V2}/queries", b'{"query": "x"}', headers={"content-type": "application/x-www-form-urlencoded"}
        ),
        lambda: ask("POST", f"{V2}/queries", b'{"query": "x"}', headers={"content-type": "application/x-protobuf"}),
        lambda: ask(
            "POST", f"{V2}/queries", b'{"query": "x"}', headers={"content-type": "application/json; charset=utf-7"}
        ),
        lambda: ask("POST", f"{V2}/queries", b'{"query": "x"}', headers=JSON | {"content-encoding": "compress"}),
        lambda: ask(
            "POST",
            f"{V2}/queries",
            gzip.compress(bytes(10**7)),
            headers=JSON | {"content-encoding": "gzip"},
            limit=10**6,
        ),
        # Uploads in other clothes.
        lambda: ask("POST", UPLOAD, {"configuration": {"load": {}}}),
        lambda: ask("POST", UPLOAD, {"configuration": {"load": {}}}, [("uploadType", "media")]),
        lambda: ask("POST", UPLOAD, {"configuration": {"load": {}}}, [("uploadType", "multipart")]),
        lambda: ask(
            "POST", UPLOAD, {"configuration": {"load": {}}}, [("uploadType", "resumable"), ("uploadType", "media")]
        ),
        lambda: ask(
            "POST",
            UPLOAD,
            {"configuration": {"load": {}}},
            [("uploadType", "resumable")],
            {"x-goog-upload-command": "start"},
        ),
        # upload%5Fid, which the door does not see: JSON to us, data for bob's upload to BigQuery.
        lambda: ask(
            "POST", UPLOAD, {"configuration": {"load": {}}}, [("uploadType", "resumable"), ("upload_id", "bobs")]
        ),
        lambda: ask("POST", UPLOAD + "?x=upload_id=", b"", [("uploadType", "resumable"), ("x", "upload_id=")]),
        lambda: ask("PUT", UPLOAD, b"", [("uploadType", "resumable")]),
        lambda: ask("PUT", UPLOAD, b"", [("upload_id", "u")]),
        lambda: ask("PUT", UPLOAD, b"", [("uploadType", "resumable"), ("upload_id", "a"), ("upload_id", "bobs")]),
        *(
            lambda name=name: ask(
                "POST", UPLOAD, {"configuration": {"load": {}}}, [("uploadType", "resumable"), (name, "resumable")]
            )
            for name in ("upload_protocol", "uploadProtocol")
        ),
        # Layers that unpack to a thousand times a thousand times their size.
        *(
            lambda codings=codings: ask(
                "PUT", UPLOAD, b"", [("uploadType", "resumable"), ("upload_id", "u")], {"content-encoding": codings}
            )
            for codings in ("gzip, gzip", "zstd,GZIP", "identity, gzip")
        ),
        # A path that is read without its door having been looked for.
        lambda: read(doors.Door("datasets.get", "metadata"), path=f"{V2}/datasets/a b", query=(), headers={}, body=b""),
        # A key of BigQuery's under a table that is called like a place for the user's own keys.
        lambda: query_job(tableDefinitions={"labels": {"connection_id": "other.us.c"}}),
    ],
)
def test_a_request_that_could_mean_something_else_is_refused(request_):
    with pytest.raises(Denied) as refused:
        request_()
    assert refused.value.rule == "unreadable"


def test_a_refusal_says_what_is_wrong_in_one_sentence():
    with pytest.raises(
        Denied, match=r"^hoop-mitm cannot read this request safely: the JSON key 'query' occurs twice in one object\.$"
    ):
        ask("POST", f"{V2}/queries", b'{"query": "a", "query": "b"}', headers=JSON)


def test_keys_that_a_user_chose_may_be_spelled_as_they_like():
    operation = query_job(
        {
            "configuration": {
                "labels": {"cost_center": "a"},
                "query": {"query": "SELECT 1", "tableDefinitions": {"my_table": {}}},
            }
        }
    )
    assert operation.labels == {"cost_center": "a"}


# -------------------------------------------------------------------------------------------------------------- gRPC

TABLE = "projects/acme/datasets/shop/tables/orders"
STREAM = "projects/acme/locations/us/sessions/s/streams/1"
GRPC = {"content-type": "application/grpc"}


def frame(message) -> bytes:
    data = message if isinstance(message, bytes) else type(message).serialize(message)
    return b"\0" + len(data).to_bytes(4) + data


def call(method, message, headers=None, *, service="BigQueryRead"):
    path = f"/google.cloud.bigquery.storage.v1.{service}/{method}"
    door = doors.find(STORAGE, "POST", path)
    assert door
    body = message if isinstance(message, bytes) or message is None else frame(message)
    return read(door, path=path, query=(), headers=GRPC | (headers or {}), body=body)


def create(table=TABLE, parent="projects/acme"):
    return types.CreateReadSessionRequest(
        parent=parent, read_session=types.ReadSession(table=table), max_stream_count=1
    )


def test_a_read_session_names_its_table():
    operation = call(
        "CreateReadSession",
        create(),
        {"x-goog-request-params": "read_session.table=projects%2Facme" + TABLE[13:].replace("/", "%2F")},
    )
    assert operation.tables == (TableRef("acme", "shop", "orders"),)
    assert operation.project == "acme"
    assert operation.uses == ()


def test_a_read_session_on_a_result_needs_the_result():
    assert call("CreateReadSession", create(f"projects/acme/datasets/{DS}/tables/anonb0b")).uses == (BOBS,)


def test_a_read_session_names_both_its_projects():
    assert projects(call("CreateReadSession", create(parent="projects/payer"))) == {"acme", "payer"}


@pytest.mark.parametrize(
    ("method", "message", "service", "expected"),
    [
        ("ReadRows", types.ReadRowsRequest(read_stream=STREAM, offset=3), "BigQueryRead", {Resource("read_stream", STREAM)}),
        ("SplitReadStream", types.SplitReadStreamRequest(name=STREAM), "BigQueryRead", {Resource("read_stream", STREAM)}),
        ("CreateWriteStream", types.CreateWriteStreamRequest(parent=TABLE), "BigQueryWrite", set()),
        ("GetWriteStream", types.GetWriteStreamRequest(name=f"{TABLE}/streams/w"), "BigQueryWrite", {Resource("write_stream", f"{TABLE}/streams/w")}),
        ("GetWriteStream", types.GetWriteStreamRequest(name=f"{TABLE}/streams/_default"), "BigQueryWrite", set()),
        ("GetWriteStream", types.GetWriteStreamRequest(name=f"{TABLE}/_default"), "BigQueryWrite", set()),
        ("FinalizeWriteStream", types.FinalizeWriteStreamRequest(name=f"{TABLE}/streams/w"), "BigQueryWrite", {Resource("write_stream", f"{TABLE}/streams/w")}),
        ("FlushRows", types.FlushRowsRequest(write_stream=f"{TABLE}/streams/w"), "BigQueryWrite", {Resource("write_stream", f"{TABLE}/streams/w")}),
        (
            "BatchCommitWriteStreams",
            types.BatchCommitWriteStreamsRequest(parent=TABLE, write_streams=[f"{TABLE}/streams/a", f"{TABLE}/streams/b"]),
            "BigQueryWrite",
            {Resource("write_stream", f"{TABLE}/streams/{name}") for name in "ab"},
        ),
        ("AppendRows", types.AppendRowsRequest(write_stream=f"{TABLE}/streams/w"), "BigQueryWrite", {Resource("write_stream", f"{TABLE}/streams/w")}),
    ],
)  # fmt: skip
def test_a_storage_call_names_its_streams(method, message, service, expected):
    operation = call(method, message, service=service)
    assert set(operation.uses) == expected
    assert operation.project == "acme"


def test_a_streamed_append_is_read_message_by_message():
    headers = {"x-goog-request-params": f"write_stream={TABLE}/streams/w"}
    operation = call("AppendRows", None, headers, service="BigQueryWrite")
    assert operation.uses == (Resource("write_stream", f"{TABLE}/streams/w"),)
    bobs = types.AppendRowsRequest(write_stream=f"{TABLE}/streams/bobs", trace_id="x")
    assert append_facts(types.AppendRowsRequest.serialize(bobs)) == (
        (TableRef("acme", "shop", "orders"),),
        (Resource("write_stream", f"{TABLE}/streams/bobs"),),
    )
    assert append_facts(types.AppendRowsRequest.serialize(types.AppendRowsRequest(trace_id="x"))) == ((), ())


MINE, THEIRS = (types.ReadRowsRequest.serialize(types.ReadRowsRequest(read_stream=STREAM[:-1] + n)) for n in "12")


@pytest.mark.parametrize(
    "request_",
    [
        lambda: call("ReadRows", b""),
        lambda: call("ReadRows", frame(MINE) + frame(THEIRS)),
        lambda: call("ReadRows", frame(MINE)[:-1]),
        lambda: call("ReadRows", b"\2" + frame(MINE)[1:]),
        lambda: call("ReadRows", b"\1" + frame(MINE)[1:]),
        lambda: call("ReadRows", frame(b"\xff\xff")),
        lambda: call("ReadRows", frame(b"\x0a\x7fshort")),
        lambda: call("ReadRows", frame(b"\x0b\x0c")),
        lambda: call("ReadRows", frame(b"\x0a\x01\xff")),
        lambda: call("ReadRows", frame(b"\x8a\x80\x80\x80\x80\x10" + MINE[1:])),
        lambda: call("ReadRows", types.ReadRowsRequest(read_stream="projects/acme/../streams/x")),
        lambda: call("ReadRows", types.ReadRowsRequest(read_stream=f"{STREAM}/../x")),
        lambda: call(
            "ReadRows",
            types.ReadRowsRequest(read_stream=STREAM),
            {"x-goog-request-params": "read_stream=projects%2Fbob"},
        ),
        lambda: call(
            "CreateReadSession",
            create(),
            {"x-goog-request-params": "read_session.table=projects/acme/datasets/d/tables/t"},
        ),
        lambda: call(
            "ReadRows",
            types.ReadRowsRequest(read_stream=STREAM),
            {"x-goog-request-params": f"read_stream=projects/bob&read%5Fstream={STREAM}"},
        ),
        lambda: call("CreateReadSession", create(table="")),
        lambda: call("CreateReadSession", create(table="orders")),
        lambda: call("CreateReadSession", create(parent="projects/acme/x")),
        lambda: call("ReadRows", MINE, {"content-type": "application/json"}),
        lambda: call("ReadRows", MINE, {"content-type": "application/grpc-web"}),
    ],
)
def test_a_storage_call_that_could_mean_something_else_is_refused(request_):
    with pytest.raises(Denied) as refused:
        request_()
    assert refused.value.rule == "unreadable"


def test_of_two_names_in_one_message_the_last_counts_as_google_counts():
    message = MINE + THEIRS
    assert types.ReadRowsRequest.deserialize(message).read_stream.endswith("/2")
    assert call("ReadRows", frame(message)).uses[0].id.endswith("/2")


def test_a_session_in_two_pieces_is_joined_as_google_joins_it():
    first, second = (types.CreateReadSessionRequest.serialize(create(f"{TABLE[:-6]}{name}")) for name in ("a", "b"))
    joined = types.CreateReadSessionRequest.deserialize(first + second)
    assert joined.read_session.table.endswith("/b")
    assert call("CreateReadSession", frame(first + second)).tables == (TableRef("acme", "shop", "b"),)
