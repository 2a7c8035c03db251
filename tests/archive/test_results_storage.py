"""Results that came through the Storage API, from bodies as Google's own classes write them."""

import json

import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.archive import open_archive
from tests.archive.building import NOON, columns, seconds, table_ref, wire_rows

SESSION = "projects/acme/locations/eu/sessions/s1"
ROWS = pa.table({"id": [1, 2, 3, 4], "tag": ["a", "b", None, "d"]})


def frame(message) -> bytes:
    data = type(message).serialize(message)
    return b"\0" + len(data).to_bytes(4) + data


def answers(table, *, each=1) -> bytes:
    return b"".join(
        frame(
            types.ReadRowsResponse(
                arrow_record_batch={"serialized_record_batch": batch.serialize().to_pybytes()}, row_count=batch.num_rows
            )
        )
        for batch in table.to_batches(max_chunksize=each)
    )


class Job:
    def __init__(self, builder, **changes):
        self.builder = builder
        self.session = builder.session()
        schema = json.dumps({"fields": columns(id="INTEGER", tag="STRING")})
        self.key = builder.job(self.session, "SELECT id, tag FROM t", **{"schema": schema, "row_count": 4} | changes)
        self.minute = 0

    def created(self, name=SESSION):
        schema = ROWS.schema.serialize().to_pybytes()
        body = frame(types.ReadSession(name=name, arrow_schema={"serialized_schema": schema}))
        flow = self._flow("storage.CreateReadSession", frame(types.CreateReadSessionRequest()), body)
        row = {"name": name, "session_id": self.session, "flow_id": flow, "job_key": self.key}
        self.builder._add("read_sessions", row | {"source": table_ref("acme._anon.x"), "created_at": NOON})

    def stream(self, name, body, *, offset=0, **changes):
        request = types.ReadRowsRequest(read_stream=name, offset=offset)
        self._flow("storage.ReadRows", frame(request), body, **changes)

    def _flow(self, door, request, response, **changes):
        self.minute += 1
        at = NOON + seconds(self.minute)
        given = {"job_key": self.key, "door": door, "protocol": "grpc", "grpc_status": 0}
        given |= {"request_body": request, "response_body": response}
        return self.builder.flow(self.session, at=at, **given | changes)

    def read(self, limit=None):
        with open_archive(self.builder.write()) as archive:
            return archive.rows(archive.show(archive.find(self.session)).jobs[0], limit)


@pytest.fixture
def job(builder):
    return Job(builder)


def test_streams_are_put_together(job):
    job.created()
    job.stream(f"{SESSION}/streams/b", answers(ROWS.slice(2)))
    job.stream(f"{SESSION}/streams/a", answers(ROWS.slice(0, 2)))
    result = job.read()
    assert result.rows() == ROWS.to_pylist()
    assert (result.source, result.total, result.complete) == ("storage", 4, True)
    assert [column.type for column in result.columns] == ["INTEGER", "STRING"]


def test_a_stream_that_broke_and_was_read_on_repeats_nothing(job):
    job.created()
    job.stream(f"{SESSION}/streams/a", answers(ROWS.slice(0, 3))[:-5], state="truncated")
    job.stream(f"{SESSION}/streams/a", answers(ROWS.slice(1)), offset=1)
    assert [row["id"] for row in job.read().rows()] == [1, 2, 3, 4]


def test_what_did_not_arrive_is_missing(job):
    job.created()
    job.stream(f"{SESSION}/streams/a", answers(ROWS)[:-5], state="truncated")
    result = job.read()
    assert ([row["id"] for row in result.rows()], result.complete) == ([1, 2, 3], False)


def test_streams_of_another_read_session_are_not_mixed_in(job):
    job.created()
    job.created(f"{SESSION}0")
    job.stream(f"{SESSION}0/streams/a", answers(ROWS.slice(0, 1)))
    job.stream(f"{SESSION}/streams/a", answers(ROWS))
    assert job.read().rows() == ROWS.to_pylist()


def test_rest_pages_win_when_they_are_the_whole_result_and_streams_otherwise(builder):
    for rows, source in ((ROWS, "rest"), (ROWS.slice(0, 2), "storage")):
        job = Job(builder, id=f"job_{source}")
        page = {"rows": wire_rows([tuple(row.values()) for row in rows.to_pylist()]), "totalRows": "4"}
        builder.flow(job.session, job_key=job.key, door="jobs.query", response_body=page)
        job.created(f"{SESSION}-{source}")
        job.stream(f"{SESSION}-{source}/streams/a", answers(ROWS))
        result = job.read()
        assert (result.source, result.rows()) == (source, ROWS.to_pylist())


def test_a_limit_stops_between_streams(job):
    job.created()
    job.stream(f"{SESSION}/streams/a", answers(ROWS.slice(0, 2)))
    job.stream(f"{SESSION}/streams/b", b"\1not to be read")
    result = job.read(limit=2)
    assert ([row["id"] for row in result.rows()], result.complete) == ([1, 2], None)


def test_a_result_of_unknown_schema_gets_its_columns_from_arrow(builder):
    job = Job(builder, schema=None, row_count=None)
    job.created()
    job.stream(f"{SESSION}/streams/a", answers(ROWS))
    assert [(column.name, column.type) for column in job.read().columns] == [("id", "INTEGER"), ("tag", "STRING")]


def test_a_table_that_was_read_without_a_job_is_read_back_from_its_exchanges(builder):
    job = Job(builder)
    job.key = None
    job.created()
    job.stream(f"{SESSION}/streams/a", answers(ROWS.slice(0, 1)))
    job.stream(f"{SESSION}/streams/b", answers(ROWS.slice(1)))
    with open_archive(builder.write()) as archive:
        created, first, second = archive.show(archive.find(job.session)).flows
        read = [[row["id"] for row in archive.rows_of_flow(flow).rows()] for flow in (created, first, second)]
    assert read == [[1, 2, 3, 4], [1], [2, 3, 4]]
