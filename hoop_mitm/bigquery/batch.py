"""A batch, ``POST /batch/bigquery/v2``: a multipart body with HTTP requests inside (RFC 2046, 5.1.3; RFC 9110).

It is served as far as every part is a question about metadata: what lists and describes. A statement, a job or rows in a
batch would need an answer, a review and a record of its own, so it is sent by itself.

https://docs.cloud.google.com/bigquery/docs/batch
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hoop_mitm.bigquery.content import Headers, boundary_of, lowered, media_type
from hoop_mitm.bigquery.doors import check_target, find
from hoop_mitm.bigquery.hosts import REST_HOST, REST_HOSTS
from hoop_mitm.bigquery.operation import Door
from hoop_mitm.bigquery.unreadable import Unreadable
from hoop_mitm.errors import Denied

MOST_PARTS: Final = 1000
"""Google takes no more either."""

_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-goog-api-key", "x-goog-authuser"})
_KEPT: Final = frozenset({"accept", "content-type", "if-match", "if-none-match", "user-agent", "x-goog-user-project"})
_DROPPED: Final = frozenset({
    "accept-encoding", "content-length", "host", "mime-version", "x-goog-api-client", "content-transfer-encoding",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A request inside of a batch.

    Attributes:
        id: its ``Content-ID``, which its answer repeats.
        target: path and query string.
        headers: those that are passed on, by lower-case name; never a credential.
        has_body: it has one, which is not passed on.
    """

    id: str
    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    has_body: bool = False


def parts(body: bytes, content_type: str) -> tuple[Part, ...]:
    """The requests in a batch.

    Args:
        body: without content-encoding.

    Raises:
        Unreadable: two readers could cut it differently, or a part is not a plain request.
    """
    if media_type(content_type) != "multipart/mixed":
        raise Unreadable("a batch is multipart/mixed.")
    found = tuple(_part(raw, number) for number, raw in enumerate(_cut(body, boundary_of(content_type)), 1))
    if len({part.id for part in found}) != len(found):
        raise Unreadable("two parts of the batch have the same Content-ID.")
    return found


def _cut(body: bytes, boundary: bytes) -> list[bytes]:
    delimiter = b"--" + boundary
    pieces = body.replace(b"\r\n", b"\n").split(delimiter)
    if b"\r" in body.replace(b"\r\n", b"") or pieces[0].strip() or pieces[-1].strip() != b"--" or len(pieces) < 3:  # noqa: PLR2004 - nothing before, one part, the end
        raise Unreadable("its multipart body cannot be told apart.")
    found = pieces[1:-1]
    if len(found) > MOST_PARTS:
        raise Unreadable(f"a batch has {MOST_PARTS} parts at most.")
    if not all(piece.startswith(b"\n") and piece.endswith(b"\n") for piece in found):
        raise Unreadable("its multipart body cannot be told apart.")
    return [piece[1:-1] for piece in found]


def _part(raw: bytes, number: int) -> Part:
    head, gap, request = raw.partition(b"\n\n")
    outer = _fields(head.split(b"\n"), number)
    if not gap or media_type(outer.get("content-type")) != "application/http":
        raise Unreadable(f"part {number} of the batch is not an application/http request.")
    if unknown := sorted(outer.keys() - {"content-type", "content-id", "mime-version", "content-transfer-encoding"}):
        raise Unreadable(f"part {number} of the batch has the header {unknown[0][:40]!r}.")
    lines, _, body = request.lstrip(b"\n").partition(b"\n\n")
    first, *rest = lines.rstrip(b"\n").split(b"\n")
    words = first.decode("ascii", "replace").split(" ")
    if len(words) not in (2, 3) or (len(words) == 3 and words[2] != "HTTP/1.1"):  # noqa: PLR2004 - RFC 9112, 3
        raise Unreadable(f"part {number} of the batch does not begin with a request line.")
    inner = _fields(rest, number)
    if inner.get("host", REST_HOST).lower() not in REST_HOSTS:
        raise Unreadable(f"part {number} of the batch is for another host.")
    if unknown := sorted(inner.keys() - _CREDENTIALS - _KEPT - _DROPPED):
        raise Unreadable(f"part {number} of the batch has the header {unknown[0][:40]!r}.")
    kept = {name: value for name, value in inner.items() if name in _KEPT}
    return Part(outer.get("content-id", f"<{number}>"), words[0], words[1], kept, has_body=bool(body.strip()))


def _fields(lines: Iterable[bytes], number: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or name != name.strip() or not name.isascii() or not value.isprintable():
            raise Unreadable(f"the headers of part {number} of the batch are not plain.")
        if (key := name.lower()) in found:
            raise Unreadable(f"part {number} of the batch has the header {name[:40]!r} twice.")
        found[key] = value.strip()
    return found


def door_of(part: Part) -> Door:
    """The door that a part knocks at.

    Raises:
        Denied: there is none, or not in a batch.
    """
    check_target(part.target)
    if not part.target.startswith("/"):
        raise Unreadable("it names its host in its request line.")
    door = find(REST_HOST, part.method, part.target)
    if door is None:
        raise Denied("door.unknown", f"hoop-mitm does not know {part.method} {part.target.partition('?')[0][:200]}.")
    if door.refused:
        raise Denied("door.refused", f"hoop-mitm does not forward {door.name}: {door.refused}")
    if door.kind != "metadata" or door.body != "none" or door.name.startswith("jobs."):
        raise Denied("batch.part", f"hoop-mitm does not serve {door.name} in a batch. Send it as a request of its own.")
    if part.has_body:
        raise Unreadable("it has a body where BigQuery expects none.")
    return door


def refused(error: Denied, number: int, part: Part) -> Denied:
    """A part's refusal as that of the whole."""
    what = f"{part.method} {part.target.partition('?')[0][:200]}"
    return Denied(error.rule, f"Part {number} of this batch, {what}, was refused, so no part was sent. {error}")


def written(found: Iterable[Part], boundary: bytes) -> bytes:
    """A batch with these parts, and nothing of what the client wrote around them."""
    mark = boundary.decode("latin-1")
    pieces = [
        "\r\n".join(
            (
                f"--{mark}",
                "Content-Type: application/http",
                "Content-Transfer-Encoding: binary",
                f"Content-ID: {part.id}",
                "",
                f"{part.method} {part.target} HTTP/1.1",
                *(f"{name}: {value}" for name, value in part.headers.items()),
                "",
                "",
            )
        )
        for part in found
    ]
    return "\r\n".join((*pieces, f"--{mark}--", "")).encode("latin-1")


def rewritten(body: bytes, headers: Headers) -> bytes:
    """A batch as it leaves: its parts, without credentials.

    Args:
        body: as on the wire.
        headers: of the request.

    Raises:
        Unreadable: as ``parts``.
    """
    kind = lowered(headers).get("content-type", "")
    return written(parts(body, kind), boundary_of(kind))
