"""Bodies: content-encodings, JSON that has one meaning only, and the metadata part of a multipart upload."""

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, cast

from hoop_mitm.bigquery.unreadable import Unreadable

type Headers = Mapping[str, str] | Iterable[tuple[str, str]]

LIMIT = 20 * 2**20
"""Bytes of a request body after decoding; more is refused before it is held."""


def lowered(headers: Headers) -> dict[str, str]:
    """Headers by lower-case name; a repeated one is joined with a comma, as RFC 9110 (5.3) allows."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def decoded(body: bytes, encoding: str | None, limit: int = LIMIT) -> bytes:
    """The body without its content-encoding.

    Raises:
        Unreadable: an unknown or stacked encoding, broken data, bytes after its end, or more than ``limit`` bytes.
    """
    name = (encoding or "identity").strip().lower()
    match name:
        case "identity" | "":
            plain = body
        case "gzip" | "x-gzip":
            plain = _inflated(body, zlib.MAX_WBITS | 16, limit)
        case "deflate":
            try:
                plain = _inflated(body, zlib.MAX_WBITS, limit)
            except zlib.error:
                plain = _inflated(body, -zlib.MAX_WBITS, limit)
        case "br":
            plain = _unbrotli(body, limit)
        case _:
            raise Unreadable(f"it does not know the content-encoding {name[:40]!r}.")
    if len(plain) > limit:
        raise _too_large(limit)
    return plain


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    decompressor = zlib.decompressobj(window)
    try:
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        if window == zlib.MAX_WBITS:
            raise
        raise Unreadable("its compressed body is damaged.") from error
    if len(plain) > limit or decompressor.unconsumed_tail:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        # A second gzip member is read by some servers and ignored by others.
        raise Unreadable("its compressed body is damaged, or more follows after its end.")
    return plain


def _unbrotli(body: bytes, limit: int) -> bytes:
    import brotli  # type: ignore[import-untyped]  # rare, and slow to import

    decompressor = brotli.Decompressor()
    plain = bytearray()
    try:
        plain += decompressor.process(body, output_buffer_limit=limit + 1)
        while not decompressor.can_accept_more_data() and len(plain) <= limit:
            plain += decompressor.process(b"", output_buffer_limit=limit + 1)
        if len(plain) > limit:
            raise _too_large(limit)
        finished = decompressor.is_finished()
    except brotli.error as error:
        raise Unreadable("its compressed body is damaged.") from error
    if not finished:
        raise Unreadable("its compressed body is cut off.")
    return bytes(plain)


def _too_large(limit: int) -> Unreadable:
    return Unreadable(f"its body is larger than {limit} bytes.")


def json_object(text: bytes) -> dict[str, object]:
    """A JSON object that every parser reads alike.

    Google's parser is lenient, and takes the last of two equal keys where another takes the first. So: strict UTF-8,
    strict RFC 8259, no duplicate keys, no NaN.

    Raises:
        Unreadable: anything else.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable("its body is not valid JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise Unreadable("its JSON is not an object.")
    return cast("dict[str, object]", value)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise Unreadable(f"the JSON key {name[:60]!r} occurs twice in one object.")
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def codings(headers: Mapping[str, str]) -> list[str]:
    """The content-encodings of a message, in the order in which they were put on, by lower-case header name."""
    return [name for part in headers.get("content-encoding", "").split(",") if (name := part.strip().lower())]


_MEDIA_TYPE = re.compile(r"\s*([\w.+/*-]*)\s*(.*)", re.DOTALL)
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w-]*)", re.IGNORECASE)
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"\\]{1,200})\"|([^\s\";,]{1,200}))", re.IGNORECASE)


def media_type(content_type: str | None) -> str:
    """``application/json`` of ``Application/JSON; charset=utf-8``; empty when there is none.

    Raises:
        Unreadable: a charset other than UTF-8, or several.
    """
    match = _MEDIA_TYPE.match(content_type or "")
    assert match
    charsets = _CHARSET.findall(match[2])
    if any(charset.lower() not in ("utf-8", "utf8", "us-ascii") for charset in charsets) or len(charsets) > 1:
        raise Unreadable("its charset is not UTF-8.")
    return match[1].lower()


@dataclass(frozen=True, slots=True)
class Multipart:
    """An upload of RFC 2387: a JSON part, then the data. ``start`` and ``end`` are the JSON's place in the body."""

    json: bytes
    start: int
    end: int


def multipart(body: bytes, boundary: bytes) -> Multipart:
    """The metadata part of an upload with exactly one JSON part and one data part.

    Raises:
        Unreadable: other shapes, which two readers could cut differently.
    """
    delimiter = b"--" + boundary
    first = len(delimiter)
    newline = b"\r\n" if body[first : first + 2] == b"\r\n" else b"\n"
    closing = body.rfind(delimiter)
    if (
        not body.startswith(delimiter + newline)
        # Opening, middle, closing; a fourth is another part, or data made to look like one.
        or body.count(delimiter) != 3  # noqa: PLR2004
        or body[closing + len(delimiter) :].strip() != b"--"
    ):
        raise Unreadable("its multipart body does not have exactly two parts.")
    head_start = first + len(newline)
    head_end = body.find(newline * 2, head_start)
    start = head_end + 2 * len(newline)
    end = body.find(newline + delimiter, start)
    # The middle delimiter must close the JSON part, or the data part's headers were taken for JSON.
    if head_end < 0 or end < 0 or body.find(delimiter, head_start) != end + len(newline):
        raise Unreadable("the parts of its multipart body cannot be told apart.")
    _check_part_head(body[head_start:head_end], newline)
    return Multipart(body[start:end], start, end)


def _check_part_head(head: bytes, newline: bytes) -> None:
    fields: dict[bytes, str] = {}
    for line in head.split(newline):
        name, colon, value = line.partition(b":")
        if not colon or (key := name.strip().lower()) in fields or line[:1].isspace():
            raise Unreadable("the headers of its first part are not plain.")
        fields[key] = value.strip().decode("latin-1")
    transfer = fields.get(b"content-transfer-encoding", "binary").lower()
    if (
        media_type(fields.get(b"content-type")) != "application/json"
        or transfer not in ("binary", "8bit", "7bit")
        or not fields.keys() <= {b"content-type", b"content-transfer-encoding", b"mime-version"}
    ):
        raise Unreadable("the first part of its multipart body is not plain JSON.")


def boundary_of(content_type: str) -> bytes:
    """The boundary of a ``multipart/related`` content-type.

    Raises:
        Unreadable: none, or several.
    """
    if content_type.lower().count("boundary") != 1 or not (match := _BOUNDARY.search(content_type)):
        raise Unreadable("the boundary of its multipart body is missing or unclear.")
    return (match[1] or match[2]).encode("latin-1", "replace")
