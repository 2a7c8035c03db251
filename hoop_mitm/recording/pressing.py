"""Making a body ready to be kept: decoded, redacted, cut into parts, compressed, and named by a commitment."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zstandard

from hoop_mitm.evidence import BodyCommitment, new_salt
from hoop_mitm.recording.decoding import MAX_CODINGS, MAX_DECODED, Decoder, NotEncodedError, TooMuchError, decoder
from hoop_mitm.recording.redaction import Redactor

PART = 4 * 2**20
HASH_SIZE = 32
_LEVEL = 3
_IN_VAIN = 2**16


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a body: ``size`` bytes (at most 4 MiB), and those as one zstd frame."""

    size: int
    data: bytes


class Press:
    """Takes one body as it comes and gives its parts; then what it is called, ``size``, ``cut`` and ``encoded`` are known.

    Holds a part and the longest secret in memory, never the whole body.

    Attributes:
        salt: what the commitment is made with.
        size: decoded length in bytes so far.
        cut: why not all of the body is kept, or ``None``.
        encoded: why its content encoding is still on, or ``None``.
    """

    def __init__(self, redactor: Redactor, key: bytes, codings: Sequence[str] = ()) -> None:
        self.size = 0
        self.salt = new_salt()
        self.cut: str | None = None
        self.encoded: str | None = None
        if len(codings) > MAX_CODINGS:
            self.encoded = f"it has {len(codings)} content encodings, and at most {MAX_CODINGS} are taken off"
        self._redactor = redactor
        self._decoder: Decoder | None = decoder(codings)
        self._hash = hashlib.blake2b(key=key, digest_size=HASH_SIZE)
        self._commitment = BodyCommitment(self.salt)
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._waiting = bytearray()
        self._in_vain = bytearray()
        self._fed = 0

    def feed(self, data: bytes) -> Iterator[Part]:
        """More of the body, as on the wire."""
        for piece in self._decoded(data):
            self._waiting += piece
            while len(self._waiting) >= PART + self._redactor.longest:
                yield self._next(PART)

    def finish(self) -> Iterator[Part]:
        """The rest."""
        if not self.size and not self._waiting:
            # Not one byte came out: too short, or too broken, for its content encoding.
            self._waiting += self._in_vain
        while self._waiting:
            yield self._next(min(PART, len(self._waiting)))

    @property
    def digest(self) -> bytes:
        """A keyed hash: the same for the same body."""
        return self._hash.digest()

    @property
    def commitment(self) -> bytes:
        """The body's name: never the same twice."""
        return self._commitment.digest()

    @property
    def note(self) -> dict[str, object]:
        """What a record says of the body."""
        reasons = {"cut": self.cut, "encoded": self.encoded}
        said = {name: reason for name, reason in reasons.items() if reason}
        return {"hash": self.commitment.hex(), "size": self.size, **said}

    def _next(self, size: int) -> Part:
        # A secret may begin in this part and end in the next: look as far as the longest one reaches.
        reach = size + self._redactor.longest
        seen = self._redactor.body(bytes(self._waiting[:reach]))
        self._waiting[:reach] = seen
        part = seen[:size]
        del self._waiting[:size]
        self._hash.update(part)
        self._commitment.update(part)
        self.size += len(part)
        return Part(len(part), self._compress(part))

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            yield data
            return
        if self.cut is not None:
            return
        self._fed += len(data)
        if not self.size and not self._waiting:
            self._in_vain += data[: _IN_VAIN - len(self._in_vain)]
        try:
            for piece in self._decoder.feed(data):
                yield piece
                if self.size + len(self._waiting) > MAX_DECODED:
                    self.cut = f"it decodes to more than {MAX_DECODED >> 20} MiB"
                    return
        except TooMuchError:
            self.cut = "to take its content encoding off is too much work"
        except NotEncodedError as error:
            # Nothing came out so far, but more went in than is still there.
            forgotten = self._fed > max(len(self._in_vain), len(data))
            if self.size or self._waiting or forgotten:
                self.cut = f"its content encoding is broken: {error}"
                return
            # It is not encoded at all, whatever its headers say.
            self._decoder = None
            yield bytes(self._in_vain) if len(self._in_vain) > len(data) else data


def plain_body(data: bytes, codings: Sequence[str]) -> bytes:
    """A whole body without its content encoding; as it is, where it turns out not to be encoded."""
    chain = decoder(codings)
    if chain is None:
        return data
    plain = bytearray()
    try:
        for piece in chain.feed(data):
            plain += piece
            if len(plain) > MAX_DECODED:
                break
    except (NotEncodedError, TooMuchError):
        return bytes(plain) or data
    return bytes(plain) or data
