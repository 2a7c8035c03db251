"""Bodies become parts: bounded, redacted across their borders, and named by what they hold."""

import gzip
import os

import pytest
import zstandard

from hoop_mitm.evidence import BodyCommitment
from hoop_mitm.recording.pressing import PART, Press, plain_body
from hoop_mitm.recording.redaction import Redactor

KEY = b"k" * 32
SECRET = "ya29." + "s3cr3t" * 20


def pressed(press: Press, data: bytes, step: int = 2**20) -> list[bytes]:
    parts = [part for start in range(0, len(data), step) for part in press.feed(data[start : start + step])]
    parts += press.finish()
    assert all(part.size <= PART for part in parts)
    plain = [zstandard.decompress(part.data, max_output_size=part.size) for part in parts]
    assert [part.size for part in parts] == [len(piece) for piece in plain]
    return plain


def test_a_body_of_many_megabytes_is_cut_into_parts_of_four() -> None:
    body = os.urandom(PART * 2 + 17)
    press = Press(Redactor(), KEY)
    parts = pressed(press, body)
    assert [len(part) for part in parts] == [PART, PART, 17]
    assert b"".join(parts) == body
    assert press.size == len(body)


@pytest.mark.parametrize("place", [PART - 60, PART - 1, PART - 120, PART, 0, 2 * PART - 3])
def test_a_secret_across_the_border_of_two_parts_is_found(place: int) -> None:
    redactor = Redactor()
    redactor.protect(SECRET)
    body = bytearray(b"x" * (2 * PART + 500))
    body[place : place + len(SECRET)] = SECRET.encode()

    clean = b"".join(pressed(Press(redactor, KEY), bytes(body), step=70_001))

    assert len(clean) == len(body)
    assert SECRET.encode() not in clean
    assert clean[:place] == b"x" * place


def test_the_hash_says_what_a_body_holds_whatever_pieces_it_came_in_and_however_it_was_encoded() -> None:
    body = os.urandom(PART + 1000)

    def digest(data: bytes, step: int, *codings: str) -> bytes:
        press = Press(Redactor(), KEY, codings)
        pressed(press, data, step)
        return press.digest

    assert digest(body, 999_999) == digest(body, 10**9) == digest(gzip.compress(body, 1), 2**16, "gzip")
    assert digest(body, 10**9) != digest(body + b"x", 10**9)


def test_the_name_is_a_commitment_to_the_body_and_never_the_same_twice() -> None:
    one, other = Press(Redactor(), KEY), Press(Redactor(), KEY)
    for press in (one, other):
        pressed(press, b"SELECT * FROM salaries")
    assert one.digest == other.digest
    assert one.commitment != other.commitment
    assert one.note == {"hash": one.commitment.hex(), "size": 22}
    commitment = BodyCommitment(one.salt)
    commitment.update(b"SELECT * FROM salaries")
    assert commitment.digest() == one.commitment


def test_the_hash_cannot_be_checked_against_a_guess_without_the_key() -> None:
    one, other = Press(Redactor(), KEY), Press(Redactor(), b"o" * 32)
    for press in (one, other):
        pressed(press, b"SELECT * FROM salaries")
    assert one.digest != other.digest


def test_what_is_not_encoded_in_spite_of_its_header_is_kept_as_it_is() -> None:
    press = Press(Redactor(), KEY, ["gzip"])
    assert pressed(press, b'{"plain": true}') == [b'{"plain": true}']
    assert press.cut is None


def test_a_body_that_ends_in_nonsense_is_kept_as_far_as_it_goes() -> None:
    body = os.urandom(50_000).hex().encode()
    press = Press(Redactor(), KEY, ["gzip"])
    kept = b"".join(pressed(press, gzip.compress(body)[:-8] + b"checksum", step=1000))
    assert body.startswith(kept)
    assert len(kept) > 90_000
    assert press.cut is not None
    assert "broken" in press.cut


def test_a_bomb_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.pressing.MAX_DECODED", 10 * 2**20)
    press = Press(Redactor(), KEY, ["gzip"])
    kept = b"".join(pressed(press, gzip.compress(bytes(2**26))))
    assert 10 * 2**20 <= len(kept) < 16 * 2**20
    assert press.cut == "it decodes to more than 10 MiB"


def test_a_body_that_is_all_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.decoding.MAX_WORK", 2**20)
    press = Press(Redactor(), KEY, ["gzip"])
    kept = b"".join(pressed(press, gzip.compress(b"some") + gzip.compress(b"") * 1000))
    assert kept == b"some"
    assert press.note["cut"] == "to take its content encoding off is too much work"


def test_a_body_with_many_encodings_is_kept_as_it_came_and_says_so() -> None:
    body = os.urandom(1000)
    press = Press(Redactor(), KEY, ["zstd"] * 1100)
    assert pressed(press, body) == [body]
    assert press.note["encoded"] == "it has 1100 content encodings, and at most 2 are taken off"


def test_what_turns_out_to_be_not_encoded_when_its_beginning_is_gone_is_cut() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (2**17).to_bytes(4, "little") + bytes(2**17)
    press = Press(Redactor(), KEY, ["zstd"])
    pressed(press, skipped + b"not zstd", step=2**16)
    assert press.cut is not None


def test_an_empty_body_has_no_parts() -> None:
    assert pressed(Press(Redactor(), KEY), b"") == []


@pytest.mark.parametrize(
    ("data", "codings", "expected"),
    [(b"a", (), b"a"), (gzip.compress(b"a"), ("gzip",), b"a"), (b"a", ("gzip",), b"a"), (b"a", ("rot13",), b"a")],
    ids=["plain", "gzip", "not gzip", "unknown"],
)
def test_a_whole_body_in_plain(data: bytes, codings: tuple[str, ...], expected: bytes) -> None:
    assert plain_body(data, codings) == expected
