"""An archive in which everything happens that a chain can tell of, made by real recorders and folds.

One gateway records, and its key is changed; one is killed in the middle of a stream; one finds what it left, and ends as it
should. Then retention takes what is old.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.config.model import FileSink, Recording
from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.identity.principal import Principal
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import EventRecord, FlowRecord, Recorder, heads
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.records import Record
from hoop_mitm.recording.retention import Cutoff, Cutoffs, apply
from tests.archive.test_recorded import inserted_and_paged, one_answer, reference, streamed
from tests.recording.building import (
    BASE,
    GET,
    INSERT,
    LIST_ROWS,
    QUERY,
    READ_ROWS,
    event,
    flow,
    intent,
    message,
    session,
)
from tests.recording.folding import fold_what_is_left

BOB = Principal("https://issuer.example", "bob", "bob@acme.example", ("reviewers",))
RITA = Principal("https://issuer.example", "rita", "rita@acme.example", ("reviewers",))
KILLED = b"0123456789abcdef" * 2**12


@dataclass(frozen=True)
class Recorded:
    """``heads`` is the file that the gateways' heads were sent to; ``keys`` are theirs, the oldest first."""

    path: Path
    heads: Path
    keys: tuple[str, ...]

    def copy(self, directory: Path) -> Path:
        """The archive alone, as an auditor gets it."""
        return Path(shutil.copy(self.path, directory / "copy.duckdb"))


def record(directory: Path) -> Recorded:
    """Make the archive in ``directory``."""
    with pytest.MonkeyPatch.context() as patch:
        # A busy machine takes its time, and every head is to be delivered.
        patch.setattr(heads, "_PATIENCE_AT_STOP", 60.0)
        asyncio.run(_record(directory, _first()))
        RecordingKeys.rotate(_state(directory))
        _die(directory)
        asyncio.run(_record(directory, _last()))
    layout = Layout(directory)
    fold_what_is_left(directory)
    keys = RecordingKeys.load(_state(directory))
    apply(layout, keys, _cutoffs(), "the test", lambda _: None)
    return Recorded(layout.archive, _heads(directory), tuple(key.fingerprint for key in keys.all))


def _recorder(directory: Path) -> Recorder:
    config = Recording(directory=directory, heads=(FileSink(type="file", path=_heads(directory)),), checkpoint_every=10)
    return Recorder(config, state=_state(directory))


async def _record(directory: Path, records: Sequence[Sequence[Record]]) -> None:
    recorder = _recorder(directory)
    await recorder.start()
    for some in records:
        await recorder.write(*some)
    await recorder.stop()


def _die(directory: Path) -> None:
    command = [sys.executable, "-m", "tests.archive.verify.recorded", str(directory)]
    died = subprocess.run(command, check=False)
    assert died.returncode == -signal.SIGKILL


async def _half_a_stream(directory: Path) -> None:
    recorder = _recorder(directory)
    await recorder.start()
    who = session(name="killed")
    record = intent(READ_ROWS, request=b"read it", session=who)
    lost = intent(QUERY, {"query": "DELETE FROM t WHERE true"}, session=who, statement="DELETE FROM t WHERE true")
    await recorder.write(who, record, lost)
    spool = recorder.spool(record.id, "response")
    spool.write(KILLED)
    os.kill(os.getpid(), signal.SIGKILL)


def _first() -> list[list[Record]]:
    alice, bob = session(name="nightly"), session(name="other", principal=BOB, agent="bq")
    labelled = inserted_and_paged(alice, "job_labels")
    asked = {"query": "SELECT 1 AS one"}
    failed = {"error": {"code": 400, "message": "Syntax error", "errors": [{"reason": "invalidQuery"}]}}
    estimate = {"configuration": {"query": asked, "dryRun": True}, "statistics": {"totalBytesProcessed": "77"}}
    denied = flow(
        QUERY,
        {"query": "DROP TABLE t"},
        {},
        session=alice,
        statement="DROP TABLE t",
        state="refused",
        status=403,
        verdict=Verdict("deny", "read_only", "Analysts do not write."),
    )
    page = flow(
        LIST_ROWS,
        None,
        {"rows": []},
        session=bob,
        method="GET",
        url=f"{BASE}/datasets/hr/tables/t/data",
        tables=(TableRef("acme", "hr", "t"),),
    )
    return [
        [alice, one_answer(alice), *inserted_and_paged(alice), *streamed(alice)],
        [bob, one_answer(bob, "job_bob", "SELECT 2 AS two"), page, *labelled[:1]],
        [denied, event(session_id=alice.id, principal=alice.principal, details={"reason": "expired"})],
        [flow(QUERY, {"query": "SELEC"}, failed, session=bob, statement="SELEC", status=400)],
        [flow(INSERT, estimate, estimate, session=bob, statement="SELECT 1 AS one", url=f"{BASE}/jobs")],
        [flow(None, None, {}, session=None, state="refused", status=403, url="https://bigquery.googleapis.com/no")],
        [event("session.ended", session_id=bob.id, message="It ended.")],
        *_reviewed(alice),
        *_long_ago(),
    ]


def _reviewed(who: Session) -> list[list[Record]]:
    """One that waited and was run, one that was rejected; and what costs and the policy have to tell."""
    return [
        [event("policy.loaded", message="A policy was loaded.", details={"policy": "p1", "before": ""})],
        *_held(who, "job_approved", approved=True),
        *_held(who, "job_rejected", approved=False),
        [event("cost.refused", session_id=who.id, principal=who.principal, message="No budget.", details={"limit": 1})],
    ]


def _held(who: Session, job: str, *, approved: bool) -> Iterator[list[Record]]:
    """As the gateway tells it: asked for, polled while it waits, decided on, sent, polled again."""
    review, statement = str(uuid7()), f"DELETE FROM shop.orders WHERE note = '{job}'"
    known = reference(job) | {
        "configuration": {
            "query": {"query": statement},
            "labels": {"hoop-session": who.id, "hoop-review": review},
        }
    }
    waiting = known | {"status": {"state": "PENDING"}}
    asks = Verdict("review", "policy.deletions", f"Held for a review by members of reviewers: {review}.")

    def told(kind: str, **changes: Any) -> Record:
        details = {"review": review, "project": "acme", "job": job, "requester": str(who.principal)}
        return event(f"review.{kind}", session_id=who.id, message=f"It is {kind}.", details=details, **changes)

    def asked_after(answer: object, **changes: Any) -> Record:
        return flow(GET, None, answer, session=who, method="GET", url=f"{BASE}/jobs/{job}", **changes)

    body = reference(job) | {"configuration": {"query": {"query": statement}}}
    inserted: dict[str, Any] = {"session": who, "statement": statement, "url": f"{BASE}/jobs"}
    yield [told("requested", principal=who.principal)]
    yield [flow(INSERT, body, waiting, **inserted, state="held", verdict=asks)]
    yield [asked_after(waiting, state="held", verdict=asks)]
    if not approved:
        words = f"{RITA} rejected this request. It was not run."
        ended = {"state": "DONE", "errorResult": {"reason": "accessDenied", "message": words}}
        yield [told("rejected", principal=RITA)]
        no = Verdict("review", "review.rejected", words)
        yield [asked_after(known | {"status": ended}, state="held", verdict=no)]
        return
    sent = flow(
        INSERT,
        known,
        known | {"status": {"state": "RUNNING"}},
        **inserted,
        verdict=Verdict("allow", "review.approved"),
        user_agent="hoop-mitm",
        client_address="",
    )
    statistics = {"query": {"statementType": "DELETE", "totalBytesProcessed": "2048", "totalBytesBilled": "10485760"}}
    yield [told("approved", principal=RITA), told("executing")]
    yield [replace(sent, state="open", ended_at=None, status=None, response=message())]
    yield [asked_after(waiting, state="held", verdict=asks)]
    yield [sent, told("executed", flow_id=sent.id)]
    yield [asked_after(known | {"status": {"state": "DONE"}, "statistics": statistics})]


def _long_ago() -> list[list[Record]]:
    written: list[list[Record]] = []
    for age in (100, 200, 500):
        then = datetime.now(UTC) - timedelta(days=age)
        who = session(name=f"old-{age}", connection="old", started_at=then)
        times = {"started_at": then, "ended_at": then}
        written.append([who, event(session_id=who.id, at=then)])
        for job in (f"job_{age}_a", f"job_{age}_b"):
            answered = replace(one_answer(who, job, f"SELECT {age} AS age"), **times)
            asked = replace(answered, state="open", ended_at=None, status=None)
            done = reference(job) | {"status": {"state": "DONE"}, "statistics": {"query": {"statementType": "SELECT"}}}
            looked = flow(GET, None, done, session=who, method="GET", url=f"{BASE}/jobs/{job}", **times)
            written += [[asked], [answered, looked]]
        for approved in (True, False):
            held = _held(who, f"job_{age}_{'approved' if approved else 'rejected'}", approved=approved)
            written += [[_at(each, then) for each in some] for some in held]
    return written


def _at(record: Record, then: datetime) -> Record:
    if isinstance(record, EventRecord):
        return replace(record, at=then)
    assert isinstance(record, FlowRecord)
    return replace(record, started_at=then, ended_at=record.ended_at and then)


def _last() -> list[list[Record]]:
    carol = session(name="carol", principal=Principal("https://issuer.example", "carol"))
    return [[carol, one_answer(carol, "job_carol", "SELECT 3 AS three")], [event("gateway.stopped", message="Bye.")]]


def _cutoffs() -> Cutoffs:
    now = datetime.now(UTC)
    old = Cutoff(*(now - timedelta(days=days) for days in (30, 150, 400)))
    return Cutoffs(now, {"old": old}, Cutoff(None, None, None), {})


def _state(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-state")


def _heads(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-heads.jsonl")


if __name__ == "__main__":
    asyncio.run(_half_a_stream(Path(sys.argv[1])))
