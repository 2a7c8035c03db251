"""gRPC frames and protobuf fields, held against Google's classes."""

import gzip
import zlib

import pytest
from google.cloud.bigquery_storage_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from hoop_mitm.bigquery.framing import Splitter, child, fields, messages, text
from hoop_mitm.bigquery.unreadable import Unreadable


def frame(data: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4) + data


def test_a_body_is_cut_into_its_messages():
    assert list(messages(frame(b"a") + frame(b"") + frame(b"bc"))) == [b"a", b"", b"bc"]
    assert list(messages(b"")) == []


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress(b"abc")), ("deflate", zlib.compress(b"abc"))])
def test_compressed_messages_are_unpacked(encoding, packed):
    assert list(messages(frame(packed, 1) + frame(b"d"), encoding)) == [b"abc", b"d"]


@pytest.mark.parametrize("cut", [1, 4, 5, 6])
def test_a_broken_stream_gives_its_whole_messages(cut):
    body = frame(b"whole") + frame(b"broken")[:cut]
    assert list(messages(body, partial=True)) == [b"whole"]
    with pytest.raises(Unreadable):
        list(messages(body))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"\2\0\0\0\0", None), (frame(b"x", 1), None), (frame(b"x", 1), "snappy"), (frame(b"x", 1), "gzip")],
)
def test_frames_that_cannot_be_read_are_refused(body, encoding):
    with pytest.raises(Unreadable):
        list(messages(body, encoding))


def test_a_compressed_bomb_is_refused():
    with pytest.raises(Unreadable):
        list(messages(frame(gzip.compress(bytes(10_000_000)), 1), "gzip", limit=1000))


@given(parts=st.lists(st.binary(max_size=40), max_size=5), size=st.integers(1, 20))
def test_a_stream_is_cut_the_same_whatever_its_chunks(parts, size):
    body = b"".join(frame(part) for part in parts)
    splitter = Splitter()
    found = [pair for place in range(0, len(body), size) for pair in splitter.feed(body[place : place + size])]
    assert found == [(frame(part), part) for part in parts]
    assert splitter.pending == 0


def test_a_message_that_is_too_large_is_refused_before_it_is_held():
    with pytest.raises(Unreadable, match="larger than 100 bytes"):
        list(Splitter(limit=100).feed(b"\0\0\1\0\0"))


@given(
    name=st.text(max_size=20),
    streams=st.lists(st.text(max_size=20), max_size=4),
    rows=st.integers(-(2**63), 2**63 - 1),
    schema=st.binary(max_size=50),
)
def test_fields_are_what_googles_classes_read(name, streams, rows, schema):
    session = types.ReadSession(
        name=name,
        estimated_row_count=rows,
        arrow_schema=types.ArrowSchema(serialized_schema=schema),
        streams=[types.ReadStream(name=stream) for stream in streams],
    )
    message = fields(types.ReadSession.serialize(session))
    assert text(message, 1) == name
    assert child(message, 5).get(1, [b""])[0] == schema
    assert [text(fields(stream), 1) for stream in message.get(10, [])] == streams


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_reader(data):
    try:
        found = fields(data)
    except Unreadable:
        return
    assert all(number > 0 for number in found)
