"""What the gateway changes in a request: labels on the job, and nothing else."""

from collections.abc import Mapping
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
    door = operation.door
    if door.name not in ("jobs.insert", "jobs.query"):
        return body
    if door.body == "multipart" and body.startswith(b"--"):
        boundary = body[2:].partition(b"\n")[0].rstrip(b"\r")
        part = multipart(body, boundary)
        return body[: part.start] + _job(part.json, labels) + body[part.end :]
    return _labelled(body, labels) if door.name == "jobs.query" else _job(body, labels)


def _job(body: bytes, labels: Mapping[str, str]) -> bytes:
    job = _decoded(body)
    job["configuration"] = msgspec.Raw(_labelled(bytes(job.get("configuration", _EMPTY)), labels))
    return msgspec.json.encode(job)


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
