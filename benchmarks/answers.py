"""What the benchmarks' upstream answers: shaped like BigQuery's, made once, each answer unlike every other.

Each carries a number of its own: a recorder that keeps equal bodies once has to keep all of them.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

SIZES = {"2k": 2 * 2**10, "100k": 100 * 2**10}
"""Bytes of the body of an answer, by the name that statements and job ids carry."""

HUGE = "huge"
"""What a statement is called whose result is one large answer."""

PROJECT = "acme"
BLOCK = 8 * 2**20
"""Bytes after which a large answer repeats itself: further apart than a compressor looks back."""

_JOB, _ETAG = "#" * 12, "%" * 12
_WORDS = ("pending", "shipped", "returned", "Müller & Söhne", "north-west", "gift", "express", "B2B", "summer sale", "")


@dataclass(frozen=True, slots=True)
class Answer:
    """A body of a fixed length, with places for the number of a job and for its own."""

    before: bytes
    between: bytes
    after: bytes

    @classmethod
    def of(cls, name: str, size: int) -> "Answer":
        """Query results with as many rows as go into ``size`` bytes."""
        chance = random.Random(name)
        rows = [_row(chance) for _ in range(3)]
        while len(_body(name, [*rows, another := _row(chance)])) < size:
            rows.append(another)
        body = _body(name, rows)
        return cls.cut(body[:-1] + b" " * (size - len(body)) + body[-1:])

    @classmethod
    def cut(cls, body: bytes) -> "Answer":
        before, rest = body.split(_JOB.encode())
        return cls(before, *rest.split(_ETAG.encode()))

    def numbered(self, job: int, number: int) -> bytes:
        return b"%s%012d%s%012d%s" % (self.before, job, self.between, number, self.after)


@dataclass(frozen=True, slots=True)
class LargeAnswer:
    """A body to be sent piece by piece: ``head``, ``block`` as often as ``repeated`` says, and ``tail``."""

    head: Answer
    block: bytes
    repeated: int
    tail: bytes

    @classmethod
    def of(cls, size: int) -> "LargeAnswer":
        """Query results with about ``size`` bytes of rows."""
        chance = random.Random(HUGE)
        rows: list[bytes] = []
        length = 0
        while length < min(size, BLOCK):
            rows.append(json.dumps(_row(chance)).encode() + b",")
            length += len(rows[-1])
        head = Answer.cut(_body(HUGE, []).removesuffix(b"]}"))
        tail = json.dumps(_row(chance)).encode() + b"]}"
        return cls(head, b"".join(rows), max(1, round(size / length)), tail)


def _body(name: str, rows: list[Any]) -> bytes:
    columns = {"id": "INTEGER", "day": "DATE", "state": "STRING", "total": "NUMERIC", "note": "STRING"}
    answer = {
        "kind": "bigquery#queryResponse",
        "schema": {"fields": [{"name": n, "type": t, "mode": "NULLABLE"} for n, t in columns.items()]},
        "jobReference": {"projectId": PROJECT, "jobId": f"orders_{name}-{_JOB}", "location": "EU"},
        "etag": _ETAG,
        "totalRows": str(len(rows)),
        "totalBytesProcessed": "52428800",
        "totalBytesBilled": "52428800",
        "cacheHit": False,
        "jobComplete": True,
        "rows": rows,
    }
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def _row(chance: random.Random) -> dict[str, Any]:
    day = f"2025-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    note = " ".join(chance.choices(_WORDS, k=3)) + f" {chance.getrandbits(64):x}"
    values = (chance.randint(1, 10**7), day, chance.choice(_WORDS[:3]), f"{chance.uniform(1, 900):.2f}", note)
    return {"f": [{"v": str(value)} for value in values]}
