"""Storage reads, read back with Google's own classes."""

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import fastavro
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.bigquery.storage import decode_request, decode_response, read_rows

STREAM = "projects/acme/locations/us/sessions/s/streams/1"
TABLE = pa.table({"id": [1, 2, 3], "name": ["a", None, "c"]})


def frame(message) -> bytes:
    data = type(message).serialize(message)
    return b"\0" + len(data).to_bytes(4) + data


def arrow_session(table=TABLE) -> bytes:
    schema = types.ArrowSchema(serialized_schema=table.schema.serialize().to_pybytes())
    return frame(types.ReadSession(name="s", data_format="ARROW", arrow_schema=schema))


def arrow_answer(batch, packed=False) -> bytes:
    data = batch.serialize().to_pybytes()
    size = len(data) if packed else 0
    if packed:
        data = pa.compress(data, codec="lz4_raw", asbytes=True)
    rows = types.ArrowRecordBatch(serialized_record_batch=data)
    return frame(types.ReadRowsResponse(arrow_record_batch=rows, row_count=batch.num_rows, uncompressed_byte_size=size))


def test_arrow_batches_of_several_streams_become_one_table():
    first, second, third = (arrow_answer(batch) for batch in TABLE.to_batches(max_chunksize=1))
    assert read_rows(arrow_session(), [first + second, third]).equals(TABLE)


def test_compressed_batches_are_unpacked():
    assert read_rows(arrow_session(), [arrow_answer(batch, packed=True) for batch in TABLE.to_batches()]).equals(TABLE)


def test_natively_compressed_arrow_is_read():
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    data = TABLE.to_batches()[0].serialize()
    assert data
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE)
    messages = list(pa.ipc.MessageReader.open_stream(sink.getvalue()))
    packed = messages[1].serialize().to_pybytes()
    answer = types.ReadRowsResponse(arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=packed))
    assert read_rows(arrow_session(), [frame(answer)]).equals(TABLE)


def test_a_stream_that_broke_gives_what_had_arrived():
    first, second, _ = (arrow_answer(batch) for batch in TABLE.to_batches(max_chunksize=1))
    assert read_rows(arrow_session(), [first + second[:-4]]).equals(TABLE.slice(0, 1))


@pytest.mark.parametrize("bodies", [[], [b""]])
def test_no_rows_are_an_empty_table_with_its_columns(bodies):
    empty = read_rows(arrow_session(), bodies)
    assert (empty.num_rows, empty.schema) == (0, TABLE.schema)


@pytest.mark.parametrize("session", [b"", frame(types.ReadSession(name="s"))])
def test_no_session_is_no_table(session):
    assert read_rows(session, []).num_columns == 0


AVRO = {
    "type": "record",
    "name": "root",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "ok", "type": "boolean"},
        {"name": "ratio", "type": "double"},
        {"name": "raw", "type": "bytes"},
        {"name": "local", "type": {"type": "string", "sqlType": "DATETIME"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {
            "name": "ship",
            "type": ["null", {"type": "record", "name": "ship", "fields": [{"name": "n", "type": "long"}]}],
        },
    ],
}
ROW = {
    "id": 1,
    "name": None,
    "price": Decimal("1.500000000"),
    "day": date(2026, 11, 22),
    "at": datetime(2026, 11, 22, 14, 0, tzinfo=UTC),
    "clock": time(12, 30),
    "ok": True,
    "ratio": 0.5,
    "raw": b"\0\xff",
    "local": "2026-11-22T14:00:00",
    "tags": ["a", "b"],
    "ship": {"n": 3},
}


def test_avro_rows_become_a_typed_table():
    schema = fastavro.parse_schema(dict(AVRO))
    data = io.BytesIO()
    for number in (1, 2):
        fastavro.schemaless_writer(data, schema, ROW | {"id": number})
    session = frame(
        types.ReadSession(name="s", data_format="AVRO", avro_schema=types.AvroSchema(schema=json.dumps(AVRO)))
    )
    rows = types.AvroRows(serialized_binary_rows=data.getvalue())
    table = read_rows(session, [frame(types.ReadRowsResponse(avro_rows=rows, row_count=2))])
    assert table.to_pylist() == [ROW, ROW | {"id": 2}]
    assert table.schema.field("price").type == pa.decimal128(38, 9)
    assert read_rows(session, []).schema == table.schema


def test_requests_are_decoded_into_plain_facts():
    options = types.ReadSession.TableReadOptions(selected_fields=["id"], row_restriction="id > 1")
    session = types.ReadSession(table="projects/acme/datasets/shop/tables/t", data_format="ARROW", read_options=options)
    body = frame(types.CreateReadSessionRequest(parent="projects/acme", read_session=session, max_stream_count=1))
    [facts] = decode_request("/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession", body)
    assert facts["read_session"]["table"] == "projects/acme/datasets/shop/tables/t"
    assert facts["read_session"]["read_options"] == {"selected_fields": ["id"], "row_restriction": "id > 1"}
    assert facts["read_session"]["data_format"] == "ARROW"
    [read] = decode_request("storage.ReadRows", frame(types.ReadRowsRequest(read_stream=STREAM, offset=7)))
    assert (read["read_stream"], int(read["offset"])) == (STREAM, 7)


def test_answers_are_decoded_without_their_rows():
    body = b"".join(arrow_answer(batch) for batch in TABLE.to_batches(max_chunksize=2))
    facts = decode_response("ReadRows", body + b"\0\0\0\0\x09cut")
    assert [int(each["row_count"]) for each in facts] == [2, 1]
    assert all("arrow_record_batch" not in each for each in facts)
    [session] = decode_response("CreateReadSession", arrow_session())
    assert session["name"] == "s"
    assert "arrow_schema" not in session
