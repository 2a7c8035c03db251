"""gRPC's frames, and the few protobuf fields that a decision needs, read without the generated classes.

Google's classes take most of a second to import and a hundred times longer to parse, so they are for reading a recording
(``storage``); here is only what stands on the hot path. The tests hold this against Google's classes.
"""

from collections.abc import Iterator

from hoop_mitm.bigquery.content import decoded
from hoop_mitm.bigquery.unreadable import Unreadable

HEADER = 5
"""Bytes before each message: one for the compressed flag, four for the length."""

LIMIT = 64 * 2**20


def messages(data: bytes, encoding: str | None = None, *, partial: bool = False, limit: int = LIMIT) -> Iterator[bytes]:
    """The messages of a gRPC body, decompressed.

    Args:
        encoding: the ``grpc-encoding`` header, for messages with the compressed flag.
        partial: a message that is cut off at the end is left out, rather than refused (a recorded stream that broke).

    Raises:
        Unreadable: not gRPC frames, or a compressed message whose encoding is unknown.
    """
    place = 0
    while place < len(data):
        end = _frame_end(data, place)
        if end is None or end > len(data):
            if partial:
                return
            raise Unreadable("its last gRPC message is cut off.")
        yield _message(data[place:end], encoding, limit)
        place = end


def _frame_end(data: bytes | bytearray, place: int) -> int | None:
    if place + HEADER > len(data):
        return None
    if data[place] > 1:
        raise Unreadable("its body is not made of gRPC messages.")
    return place + HEADER + int.from_bytes(data[place + 1 : place + HEADER])


def _message(frame: bytes, encoding: str | None, limit: int) -> bytes:
    payload = frame[HEADER:]
    if frame[0] == 0:
        return payload
    if (encoding or "identity").strip().lower() not in ("gzip", "deflate"):
        raise Unreadable("a gRPC message is compressed in a way that it does not know.")
    return decoded(payload, encoding, limit)


class Splitter:
    """Cuts a stream of chunks into whole frames, so that each can be looked at before it is passed on."""

    def __init__(self, encoding: str | None = None, *, limit: int = LIMIT) -> None:
        self._encoding = encoding
        self._limit = limit
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        """Bytes held back because their message is not complete."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The frames that ``chunk`` completes, each as ``(as on the wire, message)``.

        Raises:
            Unreadable: as ``messages``; or a message larger than the limit.
        """
        self._pending += chunk
        while (end := _frame_end(self._pending, 0)) is not None:
            if end > self._limit:
                raise Unreadable(f"a gRPC message is larger than {self._limit} bytes.")
            if end > len(self._pending):
                return
            frame = bytes(self._pending[:end])
            del self._pending[:end]
            yield frame, _message(frame, self._encoding, self._limit)


_LONGEST_VARINT = 70


def fields(message: bytes) -> dict[int, list[bytes]]:
    """The length-delimited fields of a protobuf message by number, in order; the others are skipped.

    Raises:
        Unreadable: not a protobuf message.
    """
    found: dict[int, list[bytes]] = {}
    place = 0
    try:
        while place < len(message):
            tag, place = _varint(message, place)
            if not 8 <= tag < 2**32:  # noqa: PLR2004 - a longer tag is cut to 32 bits by some readers
                raise Unreadable("its gRPC message is malformed.")
            match tag & 7:
                case 0:
                    _, place = _varint(message, place)
                case 1:
                    place += 8
                case 5:
                    place += 4
                case 2:
                    length, place = _varint(message, place)
                    found.setdefault(tag >> 3, []).append(message[place : place + length])
                    place += length
                case _:
                    raise Unreadable("its gRPC message is malformed.")
    except IndexError:
        place = len(message) + 1
    if place > len(message):
        raise Unreadable("its gRPC message is cut off.")
    return found


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _LONGEST_VARINT:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, place
        shift += 7
    raise Unreadable("its gRPC message is malformed.")


def text(message: dict[int, list[bytes]], number: int) -> str:
    """A singular string field; the last one counts, as protobuf has it. Empty when there is none."""
    values = message.get(number)
    try:
        return values[-1].decode("utf-8") if values else ""
    except UnicodeDecodeError as error:
        raise Unreadable("a name in its gRPC message is not UTF-8.") from error


def child(message: dict[int, list[bytes]], number: int) -> dict[int, list[bytes]]:
    """A singular message field. Several are merged, as protobuf has it: their bytes in a row."""
    return fields(b"".join(message.get(number, ())))
