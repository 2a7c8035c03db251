"""Which bodies are kept, and in which form."""

import gzip
from dataclasses import replace

import pytest
import zstandard

from hoop_mitm.recording.preparing import is_kept, prepare
from hoop_mitm.recording.redaction import Redactor
from tests.recording.building import SESSION, event, flow, message

KEY = b"k" * 32


def test_bodies_are_kept_decoded_and_without_secrets() -> None:
    redactor = Redactor()
    redactor.protect("the-secret-token")
    body = gzip.compress(b'{"a": "the-secret-token"}')
    record = replace(flow(), response=message(body, ("content-encoding", "gzip")))
    entry = prepare(record, redactor, KEY)
    assert set(entry.bodies) == {"response"}
    [part] = entry.bodies["response"].parts
    assert zstandard.decompress(part.data) == b'{"a": "[redacted******]"}'
    note = entry.note["response"]
    assert note["size"] == len(body)
    assert note["body"] == {"hash": entry.bodies["response"].commitment.hex(), "size": 25}


@pytest.mark.parametrize("level", ["statements", "metadata", "off"])
def test_below_full_no_body_is_kept(level: str) -> None:
    entry = prepare(flow(request={"query": "SELECT 1"}, response={"rows": []}, level=level), Redactor(), KEY)
    assert entry.bodies == {}
    assert entry.note["request"]["body"] is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (flow(), True),
        (flow(level="metadata"), True),
        (flow(level="off"), False),
        (flow(level="off", state="refused"), True),
        (event(), True),
        (SESSION, True),
    ],
)
def test_recording_off_keeps_refusals_only(record: object, *, expected: bool) -> None:
    assert is_kept(record) is expected  # type: ignore[arg-type]


def test_a_body_that_is_not_kept_whole_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.pressing.MAX_DECODED", 1000)
    record = flow()
    bomb = message(gzip.compress(bytes(10**6)), ("content-encoding", "gzip"))
    note = prepare(replace(record, response=bomb), Redactor(), KEY).note
    assert "decodes to more than" in note["response"]["body"]["cut"]
