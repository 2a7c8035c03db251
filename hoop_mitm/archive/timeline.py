"""A session as it was lived: who asked what, and what came back, moment by moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hoop_mitm.archive.entries import EventEntry, FlowEntry, JobEntry, SessionDetail

type Kind = Literal["start", "ask", "answer", "deny", "error", "call", "event", "end"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened.

    Attributes:
        offset: since the session's start; never negative.
        kind: ``ask`` and then ``answer``, ``deny`` or ``error`` for a job; ``call`` for a flow without a job;
            ``event`` for what is no exchange; ``start`` and ``end`` of the session.
    """

    at: datetime
    offset: timedelta
    kind: Kind
    job: JobEntry | None = None
    flow: FlowEntry | None = None
    event: EventEntry | None = None


def timeline(detail: SessionDetail) -> tuple[Moment, ...]:
    """All moments of a session in order; a job's polls and pages are part of its answer."""
    moments = [*_of_jobs(detail), *_of_flows(detail), *_of_events(detail)]
    # Sorting is stable, so an answer that shares its time with the question stays behind it.
    moments.sort(key=lambda moment: moment.at)
    first = min([detail.session.started_at, *(moment.at for moment in moments[:1])])
    last = max([detail.session.ended_at or detail.session.last_seen_at, *(moment.at for moment in moments[-1:])])
    whole = [Moment(first, timedelta(), "start"), *moments]
    if detail.session.status != "active":
        whole.append(Moment(last, timedelta(), "end"))
    return tuple(
        Moment(moment.at, moment.at - first, moment.kind, moment.job, moment.flow, moment.event) for moment in whole
    )


def _of_jobs(detail: SessionDetail) -> Iterator[Moment]:
    flows = {flow.id: flow for flow in detail.flows}
    for job in detail.jobs:
        own = [flows[id] for id in job.flows]  # noqa: A001
        asked = min((flow.started_at for flow in own), default=job.started_at)
        seen = [flow.ended_at for flow in own if flow.ended_at is not None]
        yield Moment(asked, timedelta(), "ask", job)
        if not seen and job.ended_at is None:
            continue  # Still running, or the gateway died before the answer.
        # BigQuery's clock is not the gateway's: an answer lies between the flows that the client saw.
        finished = min(max(job.ended_at or max(seen), asked), max(seen, default=job.ended_at or asked))
        yield Moment(max(finished, asked), timedelta(), _outcome(job), job)


def _outcome(job: JobEntry) -> Kind:
    if job.verdict.decision == "deny":
        return "deny"
    return "error" if job.error else "answer"


def _of_flows(detail: SessionDetail) -> Iterator[Moment]:
    for flow in detail.flows:
        if flow.job_key is None:
            yield Moment(flow.started_at, timedelta(), "deny" if flow.verdict.decision == "deny" else "call", flow=flow)


def _of_events(detail: SessionDetail) -> Iterator[Moment]:
    for event in detail.events:
        if event.type not in ("session.started", "session.ended"):
            yield Moment(event.at, timedelta(), "event", event=event)
