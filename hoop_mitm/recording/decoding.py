"""Taking a message's ``Content-Encoding`` off, piece by piece and within bounds (RFC 9110 section 8.4)."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

#: A compressed body that grows beyond this is cut. Bodies that are not compressed have no limit.
MAX_DECODED = 512 * 2**20
#: As much may go into the decoders of one body, on the wire and in between: what comes out may be next to nothing.
MAX_WORK = MAX_DECODED
#: Nobody has a reason for more, and each is another layer to unfold a bomb in.
MAX_CODINGS = 2
_PIECE = 2**20
_STEP = 2**14
_TINY = 2**10
#: What a gzip member or a zstd frame counts for beside its bytes: beginning one is work, and it may be empty.
_BEGINNING = 2**13
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"


class Decoder(Protocol):
    """Takes one coding off."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes, in pieces of bounded size. Raises :class:`NotEncodedError`, :class:`TooMuchError`."""


class NotEncodedError(ValueError):
    """The bytes are not what their ``Content-Encoding`` says, or end in the middle of nonsense."""


class TooMuchError(ValueError):
    """More goes into the decoders than :data:`MAX_WORK`."""


class _Work:
    """What the decoders of one body may still do together."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise TooMuchError


def codings(headers: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The codings of a message in the order in which they were applied; ``identity`` is left out."""
    listed = ",".join(value for name, value in headers if name.lower() == "content-encoding")
    return tuple(name for raw in listed.split(",") if (name := raw.strip().lower()) not in {"", "identity"})


def decoder(names: Sequence[str]) -> Decoder | None:
    """What takes these codings off; ``None`` when there are none, more than two, or one that is unknown."""
    if not names or len(names) > MAX_CODINGS or any(name not in _DECODERS for name in names):
        return None
    work = _Work()
    chain: Decoder | None = None
    for name in names:
        mine = _DECODERS[name](work)
        chain = mine if chain is None else _Chain(mine, chain)
    return chain


class _Chain:
    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer, self._inner = outer, inner

    def feed(self, data: bytes) -> Iterator[bytes]:
        for piece in self._outer.feed(data):
            yield from self._inner.feed(piece)


class _Gzip:
    """gzip, also of several members."""

    maybe_raw = False

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._fresh = self.maybe_raw
        self._ended = self._over = False
        self._head = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._work.spend(len(data))
        # In steps, because whatever a call does not take is copied.
        for start in range(0, len(data), _STEP):
            yield from self._step(data[start : start + _STEP])

    def _step(self, data: bytes) -> Iterator[bytes]:
        while data and not self._over:
            if self._ended or self._fresh:
                data, self._head = self._head + data, b""
                if len(data) < len(_MAGIC):
                    self._head = data
                    return
            if self._ended:
                if not data.startswith(_MAGIC):
                    # Padding: nobody reads on after it.
                    self._over = True
                    return
                self._work.spend(_BEGINNING)
                self._stream, self._ended = zlib.decompressobj(_GZIP_OR_ZLIB), False
            try:
                piece = self._stream.decompress(data, _PIECE)
            except zlib.error as error:
                if not self._fresh:
                    raise NotEncodedError(str(error)) from error
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
                try:
                    piece = self._stream.decompress(data, _PIECE)
                except zlib.error:
                    raise NotEncodedError(str(error)) from error
            self._fresh = False
            if piece:
                yield piece
            self._ended = self._stream.eof
            data = self._stream.unused_data if self._ended else self._stream.unconsumed_tail


class _Deflate(_Gzip):
    """deflate with zlib's header, as the RFC has it, or without, as some send it."""

    maybe_raw = True


class _Brotli:
    def __init__(self, work: _Work) -> None:
        import brotli  # type: ignore[import-untyped]

        self._work = work
        self._stream = brotli.Decompressor()
        self._error = brotli.error

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._work.spend(len(data))
        try:
            piece = self._stream.process(data, output_buffer_limit=_PIECE)
            while piece:
                yield piece
                piece = (
                    b""
                    if self._stream.can_accept_more_data()
                    else self._stream.process(b"", output_buffer_limit=_PIECE)
                )
        except self._error as error:
            raise NotEncodedError(str(error)) from error


class _Zstd:
    def __init__(self, work: _Work) -> None:
        import zstandard

        self._work = work
        self._make = zstandard.ZstdDecompressor().decompressobj
        self._error = zstandard.ZstdError
        self._stream = self._make()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._work.spend(len(data))
        try:
            # In tiny steps, because a step's output cannot be bounded.
            for start in range(0, len(data), _TINY):
                rest = data[start : start + _TINY]
                while rest:
                    piece = self._stream.decompress(rest)
                    if piece:
                        yield piece
                    rest = self._stream.unused_data
                    if self._stream.eof:
                        self._work.spend(_BEGINNING)
                        self._stream = self._make()
        except self._error as error:
            raise NotEncodedError(str(error)) from error


_DECODERS: dict[str, type[_Gzip | _Brotli | _Zstd]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
