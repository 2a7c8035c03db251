"""What of a recorded session is asked again, and what is left out, and why."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hoop_mitm.bigquery.labels import RESERVED_LABELS
from hoop_mitm.rerunning.travel import CannotTravel, as_of
from hoop_mitm.serving.question import Json, json_of
from hoop_mitm.serving.recorded import Ask, Recorded, project_of
from hoop_mitm.sql import Dataset, understand

# Of a `jobs.query` request, what makes the job; as a job's configuration it means the same.
_OF_QUERIES = (
    "query", "queryParameters", "parameterMode", "defaultDataset", "connectionProperties", "createSession",
    "useLegacySql", "useQueryCache", "maximumBytesBilled", "preserveNulls",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A job to ask again. ``configuration`` is a job's, as ``jobs.insert`` takes it, without labels of the gateway's.

    ``bq_session``: the session of BigQuery that it made when it was recorded.
    """

    ask: Ask
    project: str
    location: str | None
    configuration: Json
    bq_session: str | None = None

    @property
    def dry_run(self) -> bool:
        return self.ask.question.dry_run


@dataclass(frozen=True, slots=True)
class Left:
    """A job that is not asked again; ``why`` in a few words."""

    ask: Ask
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    left: tuple[Left, ...]


def plan(recorded: Recorded, *, allow_writes: bool = False, travel: bool = False) -> Plan:
    """What is asked again of ``recorded``: what only reads, or with ``allow_writes`` all that can be.

    ``travel``: with tables as they were when it was asked; what cannot be is left out.
    """
    steps: list[Step] = []
    left: list[Left] = []
    for ask in recorded.asks:
        made = _step(recorded, ask, allow_writes=allow_writes, travel=travel)
        (steps if isinstance(made, Step) else left).append(made)  # type: ignore[arg-type] # each in its own
    return Plan(tuple(steps), tuple(left))


def _step(recorded: Recorded, ask: Ask, *, allow_writes: bool, travel: bool) -> Step | Left:
    asked = ask.question
    project = project_of(ask.flow.url) or recorded.projects[0]
    if "/upload/" in ask.flow.url:
        return Left(ask, "the data of an upload is not sent again")
    if not allow_writes and (why := _writes(ask, project)):
        return Left(ask, why)
    sent = json_of(recorded.shelf.request(ask.flow)) or {}
    configuration = _configuration(asked.kind, sent)
    if travel and asked.kind == "query":
        # What it would be asked as is what is run, so it is looked at again.
        try:
            at = ask.job.started_at if ask.job else ask.flow.started_at
            text = as_of(asked.text, at, project=project, default_dataset=_default(asked.default_dataset))
        except CannotTravel as error:
            return Left(ask, f"as of the recording it cannot be asked: {error}")
        configuration["query"] = {**configuration["query"], "query": text}
    location = (sent.get("jobReference") or {}).get("location") or sent.get("location")
    location = location or (ask.job.location if ask.job else None)
    return Step(
        ask, project, location, configuration, _bq_session(recorded, ask) if "createSession" in asked.settings else None
    )


def _writes(ask: Ask, project: str) -> str | None:
    """Why a job may do more than read; ``None`` where its text shows that it does not."""
    asked = ask.question
    if asked.kind != "query":
        return f"a {asked.kind} job writes (--allow-writes)"
    if asked.destination:
        return f"it writes its rows to {asked.destination} (--allow-writes)"
    facts = understand(
        asked.text,
        project=project,
        default_dataset=_default(asked.default_dataset),
        legacy=asked.dialect == "legacy SQL",
    )
    if facts.opaque:
        return f"it may write: {facts.opaque.rstrip('.')} (--allow-writes)"
    return None if facts.verb == "read" else f"it writes: {', '.join(facts.kinds)} (--allow-writes)"


def _configuration(kind: str, sent: Mapping[str, Any]) -> Json:
    given = sent.get("configuration")
    if isinstance(given, dict):
        # A result table that BigQuery chose was another's; the new one chooses again.
        made: Json = json.loads(json.dumps(given))
    else:
        made = {"query": {name: sent[name] for name in _OF_QUERIES if name in sent}}
        made |= {name: sent[name] for name in ("labels", "dryRun") if name in sent}
    labels = {name: value for name, value in (made.get("labels") or {}).items() if not name.startswith(RESERVED_LABELS)}
    made["labels"] = labels
    destination = (made.get(kind) or {}).get("destinationTable") or {}
    if str(destination.get("datasetId", "")).startswith("_"):
        made[kind].pop("destinationTable")
    return made


def _default(dotted: str) -> Dataset | None:
    project, _, dataset = dotted.rpartition(".")
    return (project or None, dataset) if dataset else None


def _bq_session(recorded: Recorded, ask: Ask) -> str | None:
    for answer in _answers(recorded, ask):
        info = answer.get("sessionInfo") or (answer.get("statistics") or {}).get("sessionInfo") or {}
        if info.get("sessionId"):
            return str(info["sessionId"])
    return None


def _answers(recorded: Recorded, ask: Ask) -> Iterator[Json]:
    for flow in recorded.of_job(ask.flow.job_key or ""):
        yield json_of(recorded.shelf.answer(flow)) or {}
