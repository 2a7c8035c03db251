"""The Storage API, read back from a recording with Google's own classes and Arrow. For the archive, not the hot path."""

import io
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hoop_mitm.bigquery.framing import Splitter, messages

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["decode_request", "decode_response", "messages", "read_batches", "read_rows"]


def decode_request(method: str, body: bytes, encoding: str | None = None) -> list[dict[str, Any]]:
    """The messages of a recorded request as plain dicts; rows of ``AppendRows`` are left out.

    Args:
        method: ``CreateReadSession``, ``storage.CreateReadSession``, or the whole path.
        body: gRPC frames; a frame that is cut off at the end is left out.
        encoding: the ``grpc-encoding`` header.
    """
    return _decoded(_kind(_name(method), 0), body, encoding)


def decode_response(method: str, body: bytes, encoding: str | None = None) -> list[dict[str, Any]]:
    """The messages of a recorded answer as plain dicts; the rows of ``ReadRows`` are left out."""
    return _decoded(_kind(_name(method), 1), body, encoding)


def _name(method: str) -> str:
    return method.rpartition("/")[2].removeprefix("storage.")


# Request and answer of each method that is not simply called MethodRequest and MethodResponse.
_ANSWERS = {
    "CreateReadSession": "ReadSession",
    "CreateWriteStream": "WriteStream",
    "GetWriteStream": "WriteStream",
}


def _kind(name: str, direction: int) -> Any:
    from google.cloud.bigquery_storage_v1 import types

    return getattr(types, _ANSWERS.get(name, f"{name}Response") if direction else f"{name}Request")


# Megabytes that say nothing to a reader of facts.
_ROWS = ("avro_rows", "arrow_record_batch", "arrow_schema", "proto_rows", "arrow_rows")


def _decoded(kind: Any, body: bytes, encoding: str | None) -> list[dict[str, Any]]:
    found = []
    for data in messages(body, encoding, partial=True):
        message = kind.deserialize(data)
        for name in _ROWS:
            if name in kind.meta.fields and name in message:
                delattr(message, name)
        found.append(kind.to_dict(message, use_integers_for_enums=False, always_print_fields_with_no_presence=False))
    return found


def read_rows(create_session_response: bytes, read_rows_bodies: Iterable[bytes]) -> "pa.Table":
    """The rows that a client was sent, from the recorded answers of ``CreateReadSession`` and ``ReadRows``.

    Args:
        create_session_response: the answer's gRPC frames; its message says the schema.
        read_rows_bodies: the answers of the streams, in order; a broken one gives what had arrived.
    """
    import pyarrow as pa

    schema, batches = read_batches(create_session_response, (part for body in read_rows_bodies for part in (body, b"")))
    return pa.Table.from_batches(list(batches), schema=schema)


def read_batches(
    create_session_response: bytes, read_rows_parts: Iterable[bytes]
) -> "tuple[pa.Schema, Iterator[pa.RecordBatch]]":
    """The columns of a read session, and the rows of its answers batch by batch, as they are asked for.

    Args:
        create_session_response: as for ``read_rows``.
        read_rows_parts: the bytes of the answers, cut anywhere; an empty part stands between two answers.
    """
    import pyarrow as pa
    from google.cloud.bigquery_storage_v1 import types

    session = next(
        (types.ReadSession.deserialize(each) for each in messages(create_session_response, partial=True)), None
    )
    answers = (types.ReadRowsResponse.deserialize(message) for message in _messages_of(read_rows_parts))
    if session is not None and session.avro_schema.schema:
        return _avro_batches(session.avro_schema.schema, answers)
    if session is None or not session.arrow_schema.serialized_schema:
        return pa.schema([]), iter(())
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    return schema, (
        pa.ipc.read_record_batch(
            pa.py_buffer(_whole(answer, answer.arrow_record_batch.serialized_record_batch)), schema
        )
        for answer in answers
        if answer.arrow_record_batch.serialized_record_batch
    )


def _messages_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    splitter = Splitter()
    for part in parts:
        if not part:
            splitter = Splitter()
        for _, message in splitter.feed(part):
            yield message


def _whole(answer: Any, payload: bytes) -> bytes:
    """The payload decompressed, when the client had asked for compressed answers (raw LZ4)."""
    size = answer.uncompressed_byte_size
    if not size:
        return payload
    import pyarrow as pa

    return pa.decompress(payload, decompressed_size=size, codec="lz4_raw", asbytes=True)  # type: ignore[no-any-return]


def _avro_batches(schema_text: str, answers: Iterable[Any]) -> "tuple[pa.Schema, Iterator[pa.RecordBatch]]":
    import fastavro
    import pyarrow as pa

    avro = json.loads(schema_text)
    parsed = fastavro.parse_schema(avro)
    schema = pa.schema([pa.field(each["name"], _arrow_type(each["type"])) for each in avro["fields"]])
    return schema, (
        pa.RecordBatch.from_pylist(
            list(_avro_rows(parsed, _whole(answer, answer.avro_rows.serialized_binary_rows))), schema=schema
        )
        for answer in answers
    )


def _avro_rows(schema: Any, data: bytes) -> Iterator[dict[str, Any]]:
    import fastavro

    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        yield fastavro.schemaless_reader(stream, schema, None)  # type: ignore[misc]


def _arrow_type(avro: Any) -> "pa.DataType":
    """The Arrow type that the Storage API gives for the same BigQuery type."""
    import pyarrow as pa

    if isinstance(avro, list):
        return _arrow_type(next((each for each in avro if each != "null"), "string"))
    if isinstance(avro, dict):
        return _arrow_logical(avro) or _arrow_nested(avro)
    plain = {
        "long": pa.int64(),
        "int": pa.int32(),
        "double": pa.float64(),
        "float": pa.float32(),
        "boolean": pa.bool_(),
        "bytes": pa.binary(),
    }
    return plain.get(avro, pa.string())


def _arrow_nested(avro: dict[str, Any]) -> "pa.DataType":
    import pyarrow as pa

    if avro["type"] == "record":
        return pa.struct([pa.field(each["name"], _arrow_type(each["type"])) for each in avro["fields"]])
    if avro["type"] == "array":
        return pa.list_(pa.field("item", _arrow_type(avro["items"])))
    return _arrow_type(avro["type"])


_LONGEST_DECIMAL128 = 38


def _arrow_logical(avro: dict[str, Any]) -> "pa.DataType | None":
    import pyarrow as pa

    if avro.get("logicalType") == "decimal":
        precision, scale = int(avro["precision"]), int(avro.get("scale", 0))
        kind = pa.decimal128 if precision <= _LONGEST_DECIMAL128 else pa.decimal256
        return kind(precision, scale)
    return {
        "date": pa.date32(),
        "time-micros": pa.time64("us"),
        "timestamp-micros": pa.timestamp("us", tz="UTC"),
        "local-timestamp-micros": pa.timestamp("us"),
    }.get(avro.get("logicalType", ""))
