"""The archive is a function of the records: how many of them were folded at a time cannot be seen in it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.archive.verify import verify
from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording.records import FlowRecord
from tests.recording.building import (
    BASE,
    CREATE_READ_SESSION,
    GET,
    INSERT,
    LIST_ROWS,
    QUERY,
    READ_ROWS,
    RESULTS,
    ask,
    flow,
    message,
    session,
)
from tests.recording.folding import Gateway

STATEMENT = "SELECT name FROM shop.customers WHERE id = 7"
_SESSIONS = (session(), session())
_TABLES = ("daily", "weekly")
_JOBS = ("job1", "job2", "job3")
_LOCATIONS = ("EU", "EU", "EU", "US")
_VERDICTS = (
    Verdict("allow", "everything"),
    Verdict("allow", "everything"),
    Verdict("deny", "read-only", "Analysts may not."),
    Verdict("review", "policy.deletions", "Held."),
    Verdict("review", "review.rejected", "Rejected."),
)
_STATES = {"allow": ("complete", "complete", "failed", "truncated"), "deny": ("refused",), "review": ("held",)}
_UNANSWERED: dict[str, Any] = {"state": "open", "status": None, "ended_at": None, "response": message()}

#: All that is made of records, but for what names one gateway.
_QUESTIONS = (
    "SELECT * FROM jobs ORDER BY key",
    "SELECT * EXCLUDE (chain, request_body, response_body) FROM flows ORDER BY id",
    "SELECT * FROM sessions ORDER BY id",
    "SELECT * FROM read_sessions ORDER BY name",
)


class Story:
    """Exchanges as they might come: two sessions that write into the same tables, look and wait, in any order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self._held: list[FlowRecord] = []

    def records(self, number: int) -> Iterator[FlowRecord]:
        """Intents come before their answers, and other exchanges between them; some never have one."""
        waiting: list[FlowRecord] = []
        for _ in range(number):
            if waiting and self._random.random() < 0.5:
                yield waiting.pop(self._random.randrange(len(waiting)))
            exchange = self._random.choice([self._insert, self._insert, self._query, self._poll, self._got, self._list])
            made = exchange()
            if made.operation and made.operation.statement and made.verdict.decision == "allow":
                yield replace(made, **_UNANSWERED)
                waiting.append(made)
            else:
                yield made
            if made.verdict.rule == "policy.deletions":
                self._held.append(made)
            elif self._held and self._random.random() < 0.5:
                sent = self._sent(self._held.pop())
                yield replace(sent, **_UNANSWERED)
                waiting.append(sent)
            if self._random.random() < 0.2:
                yield from self._stream()
        yield from waiting[1:]

    def _known(self) -> dict[str, Any]:
        self._number += 1
        of = self._random.choice(_SESSIONS)
        at = of.started_at + timedelta(seconds=self._number)
        return {"id": f"{self._number:04}", "session": of, "started_at": at, "ended_at": at + timedelta(seconds=1)}

    def _reference(self) -> dict[str, str]:
        job, location = self._random.choice(_JOBS), self._random.choice(_LOCATIONS)
        return {"projectId": "acme", "jobId": job, "location": location}

    def _configuration(self) -> dict[str, Any]:
        query: dict[str, Any] = {"query": f"{STATEMENT} -- {self._number}"}
        if self._random.random() < 0.7:
            query["destinationTable"] = {
                "projectId": "acme",
                "datasetId": "shop",
                "tableId": self._random.choice(_TABLES),
            }
        return {"query": query}

    def _weighed(self, made: FlowRecord) -> FlowRecord:
        verdict = self._random.choice(_VERDICTS)
        state = self._random.choice(_STATES[verdict.decision])
        status = None if state == "failed" else 403 if state == "refused" else 200
        return replace(made, verdict=verdict, state=state, status=status)

    def _sent(self, held: FlowRecord) -> FlowRecord:
        """The gateway sends what reviewers let run."""
        state = self._random.choice(_STATES["allow"])
        status = None if state == "failed" else 200
        return replace(held, **self._known(), verdict=Verdict("allow", "review.approved"), state=state, status=status)

    def _insert(self) -> FlowRecord:
        reference, configuration = self._reference(), self._configuration()
        body = {"jobReference": reference, "configuration": configuration}
        answer = body | {"status": {"state": self._random.choice(["PENDING", "RUNNING", "DONE"])}}
        statement = configuration["query"]["query"]
        return self._weighed(flow(INSERT, body, answer, url=f"{BASE}/jobs", statement=statement, **self._known()))

    def _query(self) -> FlowRecord:
        answer = {"jobComplete": self._random.random() < 0.5, "jobReference": self._reference()}
        return self._weighed(flow(QUERY, {"query": STATEMENT}, answer, statement=STATEMENT, **self._known()))

    def _poll(self) -> FlowRecord:
        reference = self._reference()
        answer = {"jobComplete": self._random.random() < 0.5, "jobReference": reference, "totalRows": "2"}
        url = f"{BASE}/queries/{reference['jobId']}?location={reference['location']}"
        return flow(RESULTS, None, answer, url=url, method="GET", **self._known())

    def _got(self) -> FlowRecord:
        reference = self._reference()
        answer = {"jobReference": reference, "configuration": self._configuration(), "status": {"state": "DONE"}}
        url = f"{BASE}/jobs/{reference['jobId']}?location={reference['location']}"
        return flow(GET, None, answer, url=url, method="GET", **self._known())

    def _list(self) -> FlowRecord:
        table = TableRef("acme", "shop", self._random.choice(_TABLES))
        return flow(LIST_ROWS, None, {"rows": []}, tables=(table,), method="GET", **self._known())

    def _stream(self) -> Iterator[FlowRecord]:
        from google.cloud.bigquery_storage_v1 import types

        name = f"projects/acme/locations/eu/sessions/{self._number}"
        answer = types.ReadSession.serialize(types.ReadSession(name=name))
        table = TableRef("acme", "shop", self._random.choice(_TABLES))
        body = b"\0" + len(answer).to_bytes(4) + answer
        yield flow(CREATE_READ_SESSION, b"", body, tables=(table,), grpc_status=0, **self._known())
        stream = Resource("read_stream", f"{name}/streams/GgJ")
        yield flow(READ_ROWS, b"", b"", uses=(stream,), grpc_status=0, **self._known())


def folded(directory: Path, records: Sequence[FlowRecord], sizes: Iterator[int]) -> list[list[tuple[Any, ...]]]:
    """What the archive holds when the records come in batches of these sizes."""
    gateway = Gateway(directory)
    # Else what is under way is not taken over yet.
    gateway.hold.release()
    place = 0
    while place < len(records):
        size = next(sizes)
        gateway.fold(*records[place : place + size])
        place += size
    gateway.journal.sign("close")
    gateway.fold()
    gateway.die()
    assert verify(gateway.layout.archive).findings == ()
    return [ask(directory, question) for question in _QUESTIONS]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(2, 40))])
def test_in_batches_of_any_size_the_archive_is_the_same(tmp_path: Path, seed: int) -> None:
    records = list(Story(seed).records(40))
    sizes = random.Random(seed)
    at_once = folded(tmp_path / "at-once", records, iter([len(records)]))
    in_parts = folded(tmp_path / "in-parts", records, iter(lambda: sizes.randint(1, 9), 0))
    for question, one, other in zip(_QUESTIONS, at_once, in_parts, strict=True):
        assert one == other, question
