"""Content encodings are taken off in pieces of bounded size, and nonsense is told apart."""

import gzip
import time
import zlib

import brotli
import pytest
import zstandard

from hoop_mitm.recording.decoding import NotEncodedError, TooMuchError, codings, decoder

TEXT = b'{"rows":[{"f":[{"v":"1"}]}]}' * 5000


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ENCODED = [
    (["gzip"], gzip.compress(TEXT)),
    (["x-gzip"], gzip.compress(TEXT)),
    (["gzip"], gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
    (["gzip"], gzip.compress(TEXT) + bytes(1000)),
    (["gzip"], gzip.compress(TEXT) + b"\x1fx" * 1000),
    (["deflate"], zlib.compress(TEXT)),
    (["deflate"], raw_deflate(TEXT)),
    (["br"], brotli.compress(TEXT)),
    (["zstd"], zstandard.compress(TEXT)),
    (["zstd"], zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:])),
    (["gzip", "br"], brotli.compress(gzip.compress(TEXT))),
]


@pytest.mark.parametrize("step", [1, 1000, 10**9])
# Not by their bytes: gzip puts the time into them, and workers must find the same tests.
@pytest.mark.parametrize(("names", "encoded"), ENCODED, ids=["+".join(names) for names, _ in ENCODED])
def test_each_coding_is_taken_off_however_the_bytes_come(names: list[str], encoded: bytes, step: int) -> None:
    chain = decoder(names)
    assert chain is not None
    pieces = [encoded[start : start + step] for start in range(0, len(encoded), step)]
    assert b"".join(out for piece in pieces for out in chain.feed(piece)) == TEXT


@pytest.mark.parametrize("name", ["gzip", "br", "zstd", "deflate"])
def test_what_is_not_encoded_is_told_apart(name: str) -> None:
    chain = decoder([name])
    assert chain is not None
    with pytest.raises(NotEncodedError):
        list(chain.feed(b'{"kind": "bigquery#job"}'))


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    zeros = bytes(2**26)
    return {"gzip": gzip.compress(zeros), "br": brotli.compress(zeros), "zstd": zstandard.compress(zeros)}


@pytest.mark.parametrize("bomb", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_a_bomb_comes_out_in_pieces(bombs: dict[str, bytes], name: str, bomb: str) -> None:
    chain = decoder([name])
    assert chain is not None
    try:
        assert all(len(piece) <= 2**25 for piece in chain.feed(bombs[bomb]))
    except NotEncodedError:
        assert name != bomb


HEADERS = [
    ([("content-encoding", "gzip")], ("gzip",)),
    ([("Content-Encoding", " GZIP , br")], ("gzip", "br")),
    ([("content-encoding", "gzip"), ("content-encoding", "br")], ("gzip", "br")),
    ([("content-encoding", "identity")], ()),
    ([("content-type", "gzip")], ()),
]


@pytest.mark.parametrize(("headers", "expected"), HEADERS)
def test_codings_of_a_message(headers: list[tuple[str, str]], expected: tuple[str, ...]) -> None:
    assert codings(headers) == expected


def test_an_unknown_coding_leaves_the_body_as_it_is() -> None:
    assert decoder(["compress"]) is None
    assert decoder(["gzip", "aes128gcm"]) is None
    assert decoder([]) is None
    assert decoder(["gzip"] * 3) is None
    assert decoder(["zstd"] * 1100) is None


SKIPPED = (b"\x50\x2a\x4d\x18" + (65528).to_bytes(4, "little") + bytes(65528)) * 160
BUSYWORK = {
    "zstd frames that are skipped, in gzip": (["zstd", "gzip"], gzip.compress(SKIPPED, 1) * 60),
    "zstd frames of nothing": (["zstd"], (b"\x50\x2a\x4d\x18" + bytes(4)) * 2**19),
    "gzip members of nothing": (["gzip"], gzip.compress(b"") * 2**18),
}


@pytest.mark.parametrize(("names", "body"), BUSYWORK.values(), ids=BUSYWORK)
def test_work_that_brings_nothing_forth_has_an_end(names: list[str], body: bytes) -> None:
    chain = decoder(names)
    assert chain is not None
    began = time.thread_time()
    with pytest.raises(TooMuchError):
        for _ in chain.feed(body):
            pass
    assert time.thread_time() - began < 10
