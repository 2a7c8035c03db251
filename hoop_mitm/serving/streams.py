"""Read sessions of the Storage API as they were recorded, and streams that can be read from any row on."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.cloud.bigquery_storage_v1 import types

from hoop_mitm.archive import FlowEntry, Result
from hoop_mitm.bigquery.framing import messages
from hoop_mitm.bigquery.storage import decode_request
from hoop_mitm.serving.recorded import Shelf

_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a read session is asked for: the table apart, since results have other names each time."""

    table: str
    data_format: str
    columns: tuple[str, ...]
    restriction: str

    @classmethod
    def of(cls, request: Any) -> "Asked":
        session = request.read_session
        return cls(
            session.table,
            types.DataFormat(session.data_format).name,
            tuple(session.read_options.selected_fields),
            session.read_options.row_restriction,
        )


class RecordedSession:
    """A recorded read session, with the exchanges that read its streams."""

    def __init__(self, shelf: Shelf, opened: FlowEntry, reads: Sequence[FlowEntry]) -> None:
        self.opened = opened
        self._shelf = shelf
        self._reads = reads

    @cached_property
    def asked(self) -> Asked | None:
        """``None`` where the request was not recorded."""
        for message in messages(self._shelf.request(self.opened) or b"", partial=True):
            return Asked.of(types.CreateReadSessionRequest.deserialize(message))
        return None

    @cached_property
    def answer(self) -> Any:
        """The read session; ``None`` where it was refused, or not recorded."""
        if self.opened.grpc_status:
            return None
        for message in messages(self._shelf.answer(self.opened) or b"", partial=True):
            return types.ReadSession.deserialize(message)
        return None

    @cached_property
    def parts(self) -> dict[str, list[tuple[int, FlowEntry]]]:
        """Of each stream, by its name, the exchanges that read it, each from some row on."""
        found: dict[str, list[tuple[int, FlowEntry]]] = {}
        names = {stream.name for stream in self.answer.streams} if self.answer else set()
        for flow in self._reads:
            for fact in decode_request("ReadRows", self._shelf.request(flow) or b""):
                name = str(fact.get("read_stream", ""))
                if name in names:
                    found.setdefault(name, []).append((int(fact.get("offset") or 0), flow))
        return {name: sorted(parts, key=lambda part: part[0]) for name, parts in found.items()}

    def rows(self, stream: str) -> Iterator[tuple[int, bytes]]:
        """The messages of a stream in order, none twice, each with how many rows it has."""
        place = 0
        for offset, flow in self.parts.get(stream, ()):
            start = offset
            for message in messages(self._shelf.answer(flow) or b"", partial=True):
                count = types.ReadRowsResponse.deserialize(message).row_count
                if start + count > place:
                    yield start + count - place, cut(self.answer, message, max(place - start, 0))
                    place = start + count
                start += count

    @property
    def unread(self) -> bool:
        """Whether there are streams of which nothing was read."""
        return bool(self.answer) and any(stream.name not in self.parts for stream in self.answer.streams)


def cut(session: Any, message: bytes, skip: int) -> bytes:
    """A ``ReadRowsResponse`` without its first ``skip`` rows."""
    if not skip:
        return message
    answer = types.ReadRowsResponse.deserialize(message)
    left = answer.row_count - skip
    if answer.arrow_record_batch.serialized_record_batch:
        import pyarrow as pa

        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        data = _plain(answer, answer.arrow_record_batch.serialized_record_batch)
        batch = pa.ipc.read_record_batch(pa.py_buffer(data), schema).slice(skip)
        answer.arrow_record_batch.serialized_record_batch = batch.serialize().to_pybytes()
    else:
        data = _plain(answer, answer.avro_rows.serialized_binary_rows)
        answer.avro_rows.serialized_binary_rows = _without(session.avro_schema.schema, data, skip)
    answer.uncompressed_byte_size = 0
    answer.row_count = left
    return bytes(types.ReadRowsResponse.serialize(answer))


def made_of(result: Result, table: str) -> tuple[Any, list[tuple[int, bytes]]]:
    """A read session, in Arrow, of rows that were recorded as pages; with the messages of its one stream."""
    schema = types.ArrowSchema(serialized_schema=result.table.schema.serialize().to_pybytes())
    session = types.ReadSession(
        table=table,
        data_format=types.DataFormat.ARROW,
        arrow_schema=schema,
        estimated_row_count=result.table.num_rows,
    )
    sent: list[tuple[int, bytes]] = []
    for batch in result.table.combine_chunks().to_batches(max_chunksize=_BATCH):
        rows = types.ReadRowsResponse(
            row_count=batch.num_rows,
            arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
        )
        if not sent:
            # A client learns from the first message what its rows are.
            rows.arrow_schema = schema
        sent.append((batch.num_rows, types.ReadRowsResponse.serialize(rows)))
    return session, sent


def _plain(answer: Any, payload: bytes) -> bytes:
    if not answer.uncompressed_byte_size:
        return payload
    import pyarrow as pa

    return pa.decompress(  # type: ignore[no-any-return]
        payload, decompressed_size=answer.uncompressed_byte_size, codec="lz4_raw", asbytes=True
    )


def _without(schema_text: str, data: bytes, rows: int) -> bytes:
    import fastavro

    schema = fastavro.parse_schema(json.loads(schema_text))
    stream = io.BytesIO(data)
    for _ in range(rows):
        fastavro.schemaless_reader(stream, schema, None)
    return data[stream.tell() :]
