"""What the gateway changes in a request: labels on the job, what it may be billed at most, and nothing else."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hoop_mitm.bigquery.content import multipart
from hoop_mitm.bigquery.labels import RESERVED_LABELS
from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.bigquery.unreadable import Unreadable

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_labels = msgspec.json.Decoder(dict[str, str])

_EMPTY: Final = msgspec.Raw(b"{}")


def with_labels(operation: Operation, body: bytes, labels: Mapping[str, str]) -> bytes:
    """The body with ``labels`` on its job.

    The client's labels stay, except those with our prefix ``hoop-``; everything else stays byte for byte, so that no
    number or escape changes its meaning on the way.

    Args:
        operation: of this body, as ``read`` gave it.
        body: without content-encoding.

    Returns the body as it is when the operation starts no job.
    """
    return _rewritten(operation, body, lambda owner: _labelled(owner, labels))


def with_limit(operation: Operation, body: bytes, limit: int) -> bytes:
    """The body of a query with ``limit`` for its ``maximumBytesBilled``, whatever the client wrote there.

    Args:
        operation: of this body, as ``read`` gave it; with a statement.
        body: without content-encoding.
        limit: bytes; at least 1, because 0 would be no limit at all.

    Everything else stays byte for byte.
    """
    if operation.door.name == "jobs.query":
        return _limited(body, limit)
    return _rewritten(operation, body, lambda owner: _inside(owner, "query", lambda query: _limited(query, limit)))


def _rewritten(operation: Operation, body: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The body with what describes its job changed: the ``configuration``, or all of a ``jobs.query``."""
    door = operation.door
    if door.name not in ("jobs.insert", "jobs.query"):
        return body
    if door.body == "multipart" and body.startswith(b"--"):
        boundary = body[2:].partition(b"\n")[0].rstrip(b"\r")
        part = multipart(body, boundary)
        return body[: part.start] + _inside(part.json, "configuration", change) + body[part.end :]
    return change(body) if door.name == "jobs.query" else _inside(body, "configuration", change)


def _inside(owner: bytes, key: str, change: Callable[[bytes], bytes]) -> bytes:
    fields = _decoded(owner)
    fields[key] = msgspec.Raw(change(bytes(fields.get(key, _EMPTY))))
    return msgspec.json.encode(fields)


def _limited(query: bytes, limit: int) -> bytes:
    assert limit > 0
    fields = _decoded(query)
    # 64 bits are written as text in Google's JSON.
    fields["maximumBytesBilled"] = msgspec.Raw(b'"%d"' % limit)
    return msgspec.json.encode(fields)


def _labelled(owner: bytes, labels: Mapping[str, str]) -> bytes:
    fields = _decoded(owner)
    given = fields.get("labels", _EMPTY)
    try:
        theirs = _labels.decode(given) if bytes(given) != b"null" else {}
    except msgspec.DecodeError as error:
        raise Unreadable("its labels are not strings.") from error
    kept = {key: value for key, value in theirs.items() if not key.lower().startswith(RESERVED_LABELS)}
    fields["labels"] = msgspec.Raw(msgspec.json.encode(kept | dict(labels)))
    return msgspec.json.encode(fields)


def _decoded(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _object.decode(body)
    except msgspec.DecodeError as error:
        raise Unreadable("its body is not a JSON object.") from error
