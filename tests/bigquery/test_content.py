"""Bodies that have one meaning only."""

import gzip
import json
import time
import zlib

import brotli
import pytest

from hoop_mitm.bigquery.content import boundary_of, codings, decoded, json_object, media_type, multipart
from hoop_mitm.bigquery.unreadable import Unreadable

BODY = b'{"query": "SELECT 1"}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("br", brotli.compress(BODY)),
    ],
)
def test_known_encodings_are_taken_off(encoding, body):
    assert decoded(body, encoding) == BODY


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("zstd", BODY),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY))),
        ("gzip", BODY),
        ("gzip", gzip.compress(BODY)[:-3]),
        ("gzip", gzip.compress(BODY) + gzip.compress(b'{"query": "DROP"}')),
        ("gzip", gzip.compress(BODY) + b"x"),
        ("deflate", b"garbage"),
        ("br", brotli.compress(BODY)[:-2]),
        ("br", b"garbage"),
    ],
)
def test_what_servers_could_decode_differently_is_refused(encoding, body):
    with pytest.raises(Unreadable):
        decoded(body, encoding)


@pytest.mark.parametrize(
    ("header", "expected"),
    [({}, []), ({"content-encoding": "GZIP"}, ["gzip"]), ({"content-encoding": "gzip,, zstd ,"}, ["gzip", "zstd"])],
)
def test_content_encodings_are_told_apart(header, expected):
    assert codings(header) == expected


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", None])
def test_a_bomb_is_refused_before_it_is_held(encoding):
    bomb = bytes(50_000_000)
    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}.get(encoding or "", bytes)(bomb)
    with pytest.raises(Unreadable, match="larger than 1000 bytes"):
        decoded(packed, encoding, limit=1000)


@pytest.mark.parametrize(
    "text",
    [
        b'{"query": "SELECT 1", "query": "DROP TABLE t"}',
        b'{"configuration": {"query": {"query": "a", "query": "b"}}}',
        b'{"query": "a", "qu\\u0065ry": "b"}',
        b'{"a": NaN}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {"b": 2}',
        b'{"a": 1} // x',
        b"[1]",
        b'"text"',
        b"",
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b'{"a":' * 100_000,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
)
def test_json_that_parsers_read_differently_is_refused(text):
    with pytest.raises(Unreadable):
        json_object(text)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, ""),
        ("application/json", "application/json"),
        ("Application/JSON; charset=UTF-8", "application/json"),
        ('application/json;charset="utf-8"', "application/json"),
    ],
)
def test_media_types_are_read_without_their_parameters(header, expected):
    assert media_type(header) == expected


@pytest.mark.parametrize(
    "header", ["application/json; charset=utf-16", "application/json; charset=utf-8; charset=utf-7"]
)
def test_another_charset_is_refused(header):
    with pytest.raises(Unreadable):
        media_type(header)


def upload(*parts: bytes, newline: bytes = b"\r\n", end: bytes = b"--") -> bytes:
    opened = b"".join(b"--b" + newline + part + newline for part in parts)
    return opened + b"--b" + end


META = b"content-type: application/json; charset=UTF-8\r\n\r\n" + BODY
DATA = b"content-type: */*\r\n\r\nrow\r\n"


def test_the_metadata_of_an_upload_is_its_first_part():
    body = upload(META, DATA)
    part = multipart(body, b"b")
    assert part.json == BODY
    assert body[part.start : part.end] == BODY


def test_line_feeds_alone_are_taken_as_older_clients_write_them():
    head = b"Content-Type: application/json\nMIME-Version: 1.0\n\n"
    data = b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n\nrow"
    assert multipart(upload(head + BODY, data, newline=b"\n"), b"b").json == BODY


@pytest.mark.parametrize(
    "body",
    [
        upload(META),
        upload(META, META, DATA),
        upload(META, DATA, end=b""),
        b"preamble\r\n" + upload(META, DATA),
        upload(META, DATA) + b"\r\n--b\r\nmore",
        upload(META, DATA) + b" epilogue",
        upload(META, DATA + b"--b"),
        upload(DATA, META),
        upload(BODY, DATA),
        upload(b"content-type: application/json\r\ncontent-transfer-encoding: base64\r\n\r\n" + BODY, DATA),
        upload(b"content-type: application/json\r\ncontent-length: 2\r\n\r\n" + BODY, DATA),
        upload(b"content-type: application/json\r\ncontent-type: text/plain\r\n\r\n" + BODY, DATA),
        upload(b"content-type: text/plain;\r\n x=application/json\r\n\r\n" + BODY, DATA),
        upload(b"content-type: application/json; charset=utf-7\r\n\r\n" + BODY, DATA),
        b"",
    ],
)
def test_an_upload_that_can_be_cut_in_two_ways_is_refused(body):
    with pytest.raises(Unreadable):
        multipart(body, b"b")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('multipart/related; boundary="==1=="', b"==1=="),
        ("multipart/related; boundary===1==", b"==1=="),
        ("multipart/related; type=x; Boundary=abc", b"abc"),
    ],
)
def test_the_boundary_is_found(header, expected):
    assert boundary_of(header) == expected


@pytest.mark.parametrize("header", ["multipart/related", "multipart/related; boundary=a; boundary=b"])
def test_an_unclear_boundary_is_refused(header):
    with pytest.raises(Unreadable):
        boundary_of(header)


def test_many_keys_take_no_longer_than_they_must():
    keys = [f"k{number}" for number in range(20_000)]
    text = "{" + ",".join(f"{json.dumps(key)}:0" for key in [*keys, keys[-1]]) + "}"
    start = time.process_time()
    with pytest.raises(Unreadable, match="'k19999' occurs twice"):
        json_object(text.encode())
    assert time.process_time() - start < 0.5
