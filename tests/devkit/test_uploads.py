"""Uploads, as Google's client and a careful stranger do them."""

import io
import json
from urllib.parse import parse_qs, urlsplit

import google.api_core.exceptions
import pytest
import requests
from google.cloud import bigquery

from hoop_mitm import outbound
from hoop_mitm.devkit.world import World
from tests.devkit.google_clients import bigquery_client, upstream

UPLOAD = "https://bigquery.googleapis.com/upload/bigquery/v2/projects/acme/jobs"
SCHEMA = [bigquery.SchemaField("a", "INTEGER"), bigquery.SchemaField("b", "STRING")]


@pytest.fixture(scope="module")
def client(world: World) -> bigquery.Client:
    return bigquery_client(world)


@pytest.fixture
def http(world: World) -> requests.Session:
    session: requests.Session = outbound.session(upstream(world))
    session.headers["Authorization"] = f"Bearer {world.google.issue('loader@acme.example')}"
    return session


def rows(client: bigquery.Client, table: str) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in client.list_rows(f"acme.shop.{table}"))


def test_json_rows_are_loaded_under_the_clients_job_id(client: bigquery.Client) -> None:
    config = bigquery.LoadJobConfig(schema=SCHEMA)
    job = client.load_table_from_json(
        [{"a": 1, "b": "x"}, {"a": 2, "b": "ü"}], "acme.shop.up_json", job_id="load-of-mine", job_config=config
    ).result()

    assert job.job_id == "load-of-mine"
    assert job.output_rows == 2
    assert job.input_file_bytes > 0
    assert rows(client, "up_json") == [(1, "x"), (2, "ü")]
    assert client.get_job("load-of-mine").state == "DONE"


def test_the_schema_can_be_found_out(client: bigquery.Client) -> None:
    config = bigquery.LoadJobConfig(autodetect=True)
    client.load_table_from_json([{"a": 1, "b": "x"}], "acme.shop.up_auto", job_config=config).result()
    assert rows(client, "up_auto") == [(1, "x")]


@pytest.mark.parametrize(
    ("skip", "loaded"), [(0, [(1, "x"), (2, "y"), (3, "z")]), (1, [(2, "y"), (3, "z")]), (2, [(3, "z")])]
)
def test_csv_has_as_many_header_lines_as_it_says(
    client: bigquery.Client, skip: int, loaded: list[tuple[object, ...]]
) -> None:
    config = bigquery.LoadJobConfig(schema=SCHEMA, source_format="CSV", skip_leading_rows=skip)
    client.load_table_from_file(io.BytesIO(b"1,x\n2,y\n3,z\n"), f"acme.shop.up_csv{skip}", job_config=config).result()
    assert rows(client, f"up_csv{skip}") == loaded


def test_data_that_does_not_fit_is_the_jobs_error_and_names_no_file(client: bigquery.Client) -> None:
    job = client.load_table_from_json(
        [{"a": "not a number"}], "acme.shop.up_bad", job_config=bigquery.LoadJobConfig(schema=SCHEMA)
    )
    with pytest.raises(google.api_core.exceptions.BadRequest) as failure:
        job.result()
    assert "the uploaded file" in str(failure.value)
    assert "/uploads/" not in str(failure.value)


def begin(http: requests.Session, table: str) -> str:
    target = {"projectId": "acme", "datasetId": "shop", "tableId": table}
    schema = {"fields": [{"name": "a", "type": "INTEGER"}]}
    load = {"destinationTable": target, "sourceFormat": "NEWLINE_DELIMITED_JSON", "schema": schema}
    answer = http.post(UPLOAD, params={"uploadType": "resumable"}, json={"configuration": {"load": load}})
    return answer.headers["Location"]


def test_an_upload_in_pieces_goes_where_its_location_says(http: requests.Session, client: bigquery.Client) -> None:
    location = begin(http, "up_pieces")
    first = http.put(location, data=b'{"a": 1}\n', headers={"Content-Range": "bytes 0-8/*"})
    asked = http.put(location, headers={"Content-Range": "bytes */*"})
    last = http.put(location, data=b'{"a": 2}\n', headers={"Content-Range": "bytes 9-17/18"})

    assert urlsplit(location).scheme == "https"
    assert urlsplit(location).hostname == "bigquery.googleapis.com"
    assert parse_qs(urlsplit(location).query)["upload_id"]
    assert (first.status_code, first.headers["Range"]) == (308, "bytes=0-8")
    assert asked.status_code == 308
    assert last.json()["status"]["state"] == "DONE"
    assert last.json()["user_email"] == "loader@acme.example"
    assert rows(client, "up_pieces") == [(1,), (2,)]


@pytest.mark.parametrize("content_range", ["bytes 5-12/13", "pieces 0-7/8"])
def test_a_piece_out_of_order_is_refused(http: requests.Session, content_range: str) -> None:
    answer = http.put(begin(http, "up_order"), data=b'{"a": 1}', headers={"Content-Range": content_range})
    assert answer.status_code == 400


def test_an_unknown_upload_is_not_found(http: requests.Session) -> None:
    answer = http.put(UPLOAD, params={"uploadType": "resumable", "upload_id": "guessed"}, data=b"{}")
    assert answer.status_code == 404


@pytest.mark.parametrize("newline", ["\r\n", "\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize("kind", ["*/*", "application/octet-stream", None])
def test_the_type_of_the_data_part_does_not_matter(
    http: requests.Session, client: bigquery.Client, newline: str, kind: str | None
) -> None:
    table = f"up_type_{len(kind or '')}_{len(newline)}"
    target = {"projectId": "acme", "datasetId": "shop", "tableId": table}
    schema = {"fields": [{"name": "a", "type": "INTEGER"}]}
    load = {"destinationTable": target, "sourceFormat": "NEWLINE_DELIMITED_JSON", "schema": schema}
    lines = ["--B", "Content-Type: application/json", "", json.dumps({"configuration": {"load": load}}), "--B"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += ["", '{"a": 5}', "--B--", ""]

    answer = http.post(
        UPLOAD,
        params={"uploadType": "multipart"},
        data=newline.join(lines).encode(),
        headers={"Content-Type": 'multipart/related; boundary="B"'},
    )

    assert answer.status_code == 200, answer.text
    assert rows(client, table) == [(5,)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [("media", b"{}"), ("multipart", b"no boundary"), ("telepathy", b"")],
)
def test_other_uploads_are_refused(http: requests.Session, kind: str, body: bytes) -> None:
    assert http.post(UPLOAD, params={"uploadType": kind}, data=body).status_code == 400


def test_an_upload_needs_a_token(world: World) -> None:
    session = outbound.session(upstream(world))
    assert session.post(UPLOAD, params={"uploadType": "resumable"}, json={}).status_code == 401
