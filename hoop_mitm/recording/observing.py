"""What one exchange tells about a job or a read session, taken from its bodies."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from hoop_mitm.bigquery import framing
from hoop_mitm.bigquery.jobs import JobFacts, job_facts

log = logging.getLogger(__name__)

CREATE_READ_SESSION = "storage.CreateReadSession"
JOB_DOORS = frozenset({"jobs.insert", "jobs.query", "jobs.upload", "jobs.get", "jobs.getQueryResults", "jobs.cancel"})


@dataclass(frozen=True, slots=True)
class Observation:
    """``job`` is what was said of a job, ``read_session`` the name of one that was made."""

    job: JobFacts | None = None
    read_session: str | None = None

    def plain(self, *, with_statement: bool) -> dict[str, Any]:
        """As JSON values; without what holds a statement, or may quote from one, unless asked for."""
        job = self.job
        if job is not None and not with_statement:
            job = replace(job, statement=None, schema=None, error=job.error and "not recorded at this level")
        return {"job": msgspec.to_builtins(job), "read_session": self.read_session}


def from_plain(plain: Mapping[str, Any]) -> Observation:
    job = plain.get("job")
    return Observation(msgspec.convert(job, JobFacts) if job else None, plain.get("read_session"))


def observe(
    door: str, state: str, url: str, status: int | None, *, request: bytes | None, response: bytes | None
) -> Observation:
    """What an exchange tells. ``state`` is the flow's: what the gateway answered itself says nothing about BigQuery."""
    answered = state in {"complete", "truncated"}
    try:
        if door == CREATE_READ_SESSION:
            return Observation(read_session=_read_session(response) if answered and response else None)
        if door not in JOB_DOORS:
            return Observation()
        if state == "refused" and door not in {"jobs.insert", "jobs.query"}:
            return Observation()
        return Observation(job_facts(door, url, request, response if answered else None, status if answered else None))
    except Exception:
        # The bodies are recorded; a gap in what was read out of them must not keep them from being folded.
        log.exception("an exchange through %s cannot be understood", door)
        return Observation()


def _read_session(body: bytes) -> str | None:
    for message in framing.messages(body, partial=True):
        return framing.text(framing.fields(message), 1) or None
    return None
