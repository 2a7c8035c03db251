"""Secrets are found by the name they travel under, and by their value in every spelling."""

import base64
import json
import os
import re
import threading
import time
from urllib.parse import quote, quote_plus

import pytest

from hoop_mitm.recording.redaction import REDACTED, Redactor

TOKEN = "ya29.a0" + base64.urlsafe_b64encode(os.urandom(60)).decode()
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"RS256"}', os.urandom(150), os.urandom(256))
)
ODD = 'p@ss/word+"quoted" <é&=>\'' + base64.b64encode(os.urandom(12)).decode() + "=="
PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "\n".join(base64.b64encode(os.urandom(48)).decode() for _ in range(20))
    + "\n-----END PRIVATE KEY-----\n"
)


def gson(text: str) -> str:
    out = json.dumps(text, ensure_ascii=False)
    for character in "<>&='":
        out = out.replace(character, f"\\u{ord(character):04x}")
    return out


SPELLINGS = {
    "as it is": lambda secret: secret.encode(),
    "percent-encoded": lambda secret: quote(secret, safe="").encode(),
    "percent-encoded in lower case": lambda secret: re.sub(
        "%..", lambda m: m[0].lower(), quote(secret, safe="")
    ).encode(),
    "as a form": lambda secret: quote_plus(secret).encode(),
    "in JSON": lambda secret: json.dumps({"x": secret}).encode(),
    "in JSON, not only ASCII": lambda secret: json.dumps({"x": secret}, ensure_ascii=False).encode(),
    "in JSON in JSON": lambda secret: json.dumps({"x": json.dumps({"y": secret})}).encode(),
    "in JSON as Gson has it": lambda secret: gson(secret).encode(),
    "in JSON with escaped slashes": lambda secret: json.dumps(secret).replace("/", "\\/").encode(),
    "in base64": lambda secret: base64.b64encode(secret.encode()),
    "in base64, one byte in": lambda secret: base64.b64encode(b"a" + secret.encode() + b"zz"),
    "in base64, two bytes in": lambda secret: base64.b64encode(b"ab" + secret.encode() + b"z"),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(b"u:" + secret.encode()),
    "in base64 in a URL": lambda secret: quote(base64.b64encode(secret.encode()), safe="").encode(),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("secret", [TOKEN, JWT, ODD], ids=["token", "jwt", "odd"])
def test_a_value_is_found_in_every_spelling_and_overwritten_at_its_own_length(secret, spell) -> None:
    redactor = Redactor()
    redactor.protect(secret)
    body = b"before " + spell(secret) + b" after"

    clean = redactor.body(body)

    assert len(clean) == len(body)
    assert clean.startswith(b"before ")
    assert clean.endswith(b" after")
    assert b"[redacted*" in clean
    # Base64 shares its first and last characters with the neighbours.
    assert not any(spell(secret)[start : start + 16] in clean for start in range(8, len(spell(secret)) - 24))


def test_what_is_not_protected_stays_as_it_is() -> None:
    redactor = Redactor()
    redactor.protect(TOKEN)
    body = json.dumps({"rows": ["select eyJ", "ya29.", "a.b.c", "-----BEGIN PUBLIC KEY-----"]}).encode()
    assert redactor.body(body) is body


def test_redacted_json_is_still_json() -> None:
    redactor = Redactor()
    redactor.protect(ODD)
    clean = json.loads(redactor.body(json.dumps({"a": ODD, "b": [ODD + ODD]}).encode()))
    assert clean["a"].startswith("[redacted*")


@pytest.mark.parametrize("part", PEM.split("\n")[1:-2], ids=lambda _: "line")
def test_each_line_of_a_private_key_is_a_secret_of_its_own(part: str) -> None:
    redactor = Redactor()
    redactor.protect(PEM, keep=True)
    assert part not in redactor.text(f"key: {part}")


def test_the_parts_of_a_token_are_secrets_but_not_the_header_that_all_tokens_share() -> None:
    redactor = Redactor()
    redactor.protect(JWT)
    header, payload, signature = JWT.split(".")
    assert payload not in redactor.text(payload)
    assert signature not in redactor.text(f"x{signature}x")
    assert redactor.text(header) == header


def test_a_short_value_is_not_worth_protecting() -> None:
    redactor = Redactor()
    redactor.protect("select")
    assert redactor.text("select 1") == "select 1"


def test_the_oldest_values_are_forgotten_but_not_those_to_keep() -> None:
    redactor = Redactor(capacity=50)
    redactor.protect("kept-for-ever", keep=True)
    redactor.protect("one of the first")
    for number in range(200):
        redactor.protect(f"secret number {number:04}")
        redactor.body(b"something")
    assert redactor.text("kept-for-ever") == "[redacted***]"
    assert redactor.text("secret number 0199").startswith(REDACTED[:9])
    assert redactor.text("secret number 0151").startswith(REDACTED[:9])
    assert redactor.text("one of the first") == "one of the first"


def test_a_value_is_found_from_the_moment_it_is_protected_whatever_other_threads_do() -> None:
    redactor = Redactor()
    missed: list[str] = []

    def work(worker: int) -> None:
        for number in range(60):
            secret = f"worker-{worker}-secret-{number:06}"
            redactor.protect(secret)
            if secret in redactor.text(f"<{secret}>"):
                missed.append(secret)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []


HEADERS = [
    ("authorization", "Bearer abc", REDACTED),
    ("Authorization", "Bearer abc", REDACTED),
    ("proxy-authorization", "Basic abc", REDACTED),
    ("cookie", "a=b", REDACTED),
    ("set-cookie", "a=b", REDACTED),
    ("x-goog-api-key", "AIza", REDACTED),
    ("x-goog-iam-authorization-token", "abc", REDACTED),
    ("content-type", "application/json", "application/json"),
    ("referer", "https://u:p@host/x?access_token=abc&q=1", f"https://host/x?access_token={REDACTED}&q=1"),
    ("x-note", f"see {TOKEN}", None),
]


@pytest.mark.parametrize(("name", "value", "expected"), HEADERS, ids=[name for name, _, _ in HEADERS])
def test_headers(name: str, value: str, expected: str | None) -> None:
    redactor = Redactor()
    redactor.protect(TOKEN)
    [(kept_name, kept)] = redactor.headers([(name, value)])
    assert kept_name == name
    assert TOKEN not in kept
    if expected is not None:
        assert kept == expected


URLS = [
    ("https://h/p?a=1&b=2", "https://h/p?a=1&b=2"),
    ("https://h/p?access_token=abc", f"https://h/p?access_token={REDACTED}"),
    ("https://h/p?Access%5FToken=abc&x=1", f"https://h/p?Access%5FToken={REDACTED}&x=1"),
    ("https://h/p?a=1;key=abc#frag", f"https://h/p?a=1;key={REDACTED}#frag"),
    ("https://h/p?key=", "https://h/p?key="),
    ("https://h/p?access_token", "https://h/p?access_token"),
    ("https://user:secret@h/p", "https://h/p"),
    ("/p?oauth_token=abc&oauth_token=def", f"/p?oauth_token={REDACTED}&oauth_token={REDACTED}"),
    ("https://[bad/p?key=abc", f"https://[bad/p?key={REDACTED}"),
]


@pytest.mark.parametrize(("url", "expected"), URLS)
def test_urls(url: str, expected: str) -> None:
    assert Redactor().url(url) == expected


def test_an_upload_id_becomes_a_handle_that_is_the_same_everywhere() -> None:
    redactor = Redactor()
    redactor.use_handle_key(b"k" * 32)
    [(_, location), (_, upload)] = redactor.headers(
        [("location", "https://h/upload?uploadType=resumable&upload_id=ABPtcPr"), ("x-guploader-uploadid", "ABPtcPr")]
    )
    assert "ABPtcPr" not in location + upload
    assert location.endswith(upload)
    assert redactor.url("/u?upload_id=other") != redactor.url("/u?upload_id=ABPtcPr")


def test_what_looks_like_a_secret_is_found_without_knowing_it() -> None:
    clean = Redactor().body(f"a {TOKEN} b {JWT} c {PEM} d".encode())
    for secret in (TOKEN, JWT, PEM[40:80]):
        assert secret.encode() not in clean
    assert clean.startswith(b"a [redacted")


@pytest.mark.parametrize("before", ["", " ", '"', "=", "\\n", "\\u003d", "%3D", "Bearer "])
def test_a_token_begins_where_a_word_does_or_after_an_escape(before: str) -> None:
    assert JWT[-40:] not in Redactor().text(before + JWT)


@pytest.mark.parametrize(
    "piece", [b"eyJ", b"eyJhbGciOi.", b"eyJhbGciOi.eyJhbGciOi", b"ya29.", b"-----BEGIN PRIVATE KEY-----", b"\\neyJ"]
)
def test_a_body_made_to_be_slow_is_not(piece: bytes) -> None:
    body = piece * (2**21 // len(piece))
    began = time.thread_time()
    Redactor().body(body)
    assert time.thread_time() - began < 2


# What anybody can have protected by sending it as a token, and what may then be recorded.
JUNK = {
    "a beginning in common": ([f"AAAAAAAAAAAAAAAAAAAA{n:06}" for n in range(300)], b"A" * 300_000),
    "nothing but one letter": (["A" * n for n in range(17, 2017, 7)], b"A" * 300_000),
    "runs of one letter": (["A" * n for n in range(17, 2017, 7)], (b"A" * 20 + b"b") * 15_000),
    "different in the middle": (["A" * 30_000 + chr(66 + n) + "A" * 30_000 for n in range(20)], b"A" * 300_000),
    "periods": (["ABCDEFGH" * n for n in range(4, 300)], b"ABCDEFGH" * 40_000),
}


@pytest.mark.parametrize(("junk", "data"), JUNK.values(), ids=JUNK)
def test_values_made_to_be_slow_are_not(junk: list[str], data: bytes) -> None:
    redactor = Redactor()
    for each in junk:
        redactor.protect(each)
    redactor.protect(TOKEN)
    began = time.thread_time()
    clean = redactor.body(data + TOKEN.encode())
    assert time.thread_time() - began < 3
    assert TOKEN.encode() not in clean
    assert TOKEN[-20:].encode() not in clean


def test_where_there_is_too_much_to_compare_too_much_is_overwritten_and_not_too_little() -> None:
    redactor = Redactor()
    values = [f"{n:04}{'A' * 400}{n:04}" for n in range(300)]
    for each in values:
        redactor.protect(each)
    data = "A" * 200_000 + "".join(values) + "A" * 200_000
    clean = redactor.text(data)
    assert len(clean) == len(data)
    assert not any(each in clean for each in values)


def test_a_value_longer_than_64_kib_is_protected_piece_by_piece() -> None:
    redactor = Redactor()
    value = base64.urlsafe_b64encode(os.urandom(2**18)).decode()
    redactor.protect(value)
    clean = redactor.text(f"<{value}>")
    assert not any(value[start : start + 12] in clean for start in range(0, len(value), 1000))
    assert redactor.longest < 2**18


def test_large_junk_is_forgotten_before_it_is_too_much_to_look_for() -> None:
    redactor = Redactor()
    redactor.protect("kept-for-ever", keep=True)
    for _ in range(300):
        redactor.protect(os.urandom(40_000))
    redactor.protect(ODD)
    began = time.thread_time()
    assert "kept" not in redactor.text(f"kept-for-ever {ODD}")
    assert ODD not in redactor.text(ODD)
    assert time.thread_time() - began < 8


def test_the_text_of_an_error_never_shows_what_was_protected() -> None:
    redactor = Redactor()
    redactor.protect(TOKEN)
    assert TOKEN not in redactor.text(f"\udcff bad {TOKEN}")
