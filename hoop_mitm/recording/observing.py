"""What one exchange tells about a job or a read session, taken from its bodies."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from hoop_mitm.bigquery import framing
from hoop_mitm.bigquery.jobs import JOB_DOORS, STATEMENT_DOORS, JobFacts, job_facts

log = logging.getLogger(__name__)

CREATE_READ_SESSION = "storage.CreateReadSession"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was said of a job, and the read session that was made.

    ``default_dataset`` is what a query's bare table names are in: project, when it is named, and dataset.
    """

    job: JobFacts | None = None
    read_session: str | None = None
    default_dataset: tuple[str | None, str] | None = None

    def plain(self, *, with_statement: bool) -> dict[str, Any]:
        """As JSON values; without what holds a statement, or may quote from one, unless asked for."""
        job = self.job
        if job is not None and not with_statement:
            job = replace(job, statement=None, schema=None, error=job.error and "not recorded at this level")
        return {
            "job": msgspec.to_builtins(job),
            "read_session": self.read_session,
            "default_dataset": self.default_dataset if with_statement else None,
        }


def from_plain(plain: Mapping[str, Any]) -> Observation:
    job = plain.get("job")
    default = plain.get("default_dataset")
    return Observation(
        msgspec.convert(job, JobFacts) if job else None,
        plain.get("read_session"),
        (default[0], default[1]) if default else None,
    )


def observe(
    door: str, state: str, url: str, status: int | None, *, request: bytes | None, response: bytes | None
) -> Observation:
    """What an exchange tells. ``state`` is the flow's: what the gateway refused says nothing about a job of BigQuery's."""
    answered = state in {"complete", "truncated", "held"}
    try:
        if door == CREATE_READ_SESSION:
            return Observation(read_session=_read_session(response) if answered and response else None)
        if door not in JOB_DOORS:
            return Observation()
        if state == "refused" and door not in STATEMENT_DOORS:
            return Observation()
        facts = job_facts(door, url, request, response if answered else None, status if answered else None)
        default = _default_dataset(request) if door in {"jobs.insert", "jobs.query"} else None
        return Observation(facts, default_dataset=default)
    except Exception:
        # The bodies are recorded; a gap in what was read out of them must not keep them from being folded.
        log.exception("an exchange through %s cannot be understood", door)
        return Observation()


class _Dataset(msgspec.Struct, rename="camel"):
    dataset_id: str
    project_id: str | None = None


class _Query(msgspec.Struct, rename="camel"):
    default_dataset: _Dataset | None = None


class _Configuration(msgspec.Struct):
    query: _Query | None = None


class _Request(msgspec.Struct, rename="camel"):
    default_dataset: _Dataset | None = None
    configuration: _Configuration | None = None


_requests = msgspec.json.Decoder(_Request)


def _default_dataset(body: bytes | None) -> tuple[str | None, str] | None:
    try:
        request = _requests.decode(body or b"{}")
    except msgspec.DecodeError:
        return None
    query = request.configuration.query if request.configuration else None
    dataset = request.default_dataset or (query and query.default_dataset)
    return (dataset.project_id, dataset.dataset_id) if dataset else None


def _read_session(body: bytes) -> str | None:
    for message in framing.messages(body, partial=True):
        return framing.text(framing.fields(message), 1) or None
    return None
