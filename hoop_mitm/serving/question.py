"""What a client asks of BigQuery, as far as it decides what the answer is.

Two requests are the same question whatever their layout, job id, labels, cache and cost settings are, and by
whichever method they come.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from hoop_mitm.archive.comparing.generated import Generated
from hoop_mitm.archive.statements import normal
from hoop_mitm.bigquery.content import multipart
from hoop_mitm.bigquery.unreadable import Unreadable

type Json = dict[str, Any]

#: Doors through which a job is asked for.
ASKS = frozenset({"jobs.query", "jobs.insert"})

_KINDS = ("query", "load", "copy", "extract")
# What a job is asked with, and what says nothing of its answer.
_ASIDE = frozenset({"query", "queryParameters", "parameterMode", "defaultDataset", "useLegacySql", "destinationTable"})
_NO_MATTER = frozenset({
    "kind", "labels", "dryRun", "requestId", "location", "maxResults", "timeoutMs", "jobTimeoutMs", "formatOptions",
    "jobCreationMode", "useQueryCache", "maximumBytesBilled", "priority", "reservation", "maxSlots", "preserveNulls",
    "createDisposition", "allowLargeResults", "flattenResults", "writeIncrementalResults", "queryResultMaxRows",
})  # fmt: skip
_NONE = Generated()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. All but ``text`` takes part in comparing; an empty text is what was not given.

    Attributes:
        kind: ``query``, ``load``, ``copy`` or ``extract``.
        statement: in its normal form.
        parameters, settings: JSON in one spelling.
        default_dataset, destination: dotted; a result table that BigQuery chooses is none.
        text: the statement as it was sent.
    """

    kind: str
    statement: str
    parameters: str
    default_dataset: str
    dialect: str
    destination: str
    dry_run: bool
    settings: str
    text: str

    @property
    def key(self) -> tuple[object, ...]:
        return tuple(getattr(self, each.name) for each in fields(self) if each.name != "text")

    def differences(self, other: "Question") -> Iterator[str]:
        """What of ``other`` is not as here, as words: ``parameters``, ``default dataset`` …"""
        for each in fields(self):
            if each.name != "text" and getattr(self, each.name) != getattr(other, each.name):
                yield each.name.replace("_", " ")


def question(door: str, project: str, sent: bytes | None) -> Question | None:
    """What a request of one of the doors :data:`ASKS` asks, from its body (of an upload, all its parts).

    ``None`` where it cannot be read, or was not recorded.
    """
    body = json_of(sent)
    if body is None:
        return None
    if door == "jobs.query":
        return _question("query", body, body, project)
    configuration = _mapping(body.get("configuration"))
    kind = next((kind for kind in _KINDS if isinstance(configuration.get(kind), dict)), None)
    return _question(kind, configuration[kind], configuration, project) if kind else None


def json_of(sent: bytes | None) -> Json | None:
    """The JSON object of a request: its body, or the first part of it."""
    if not sent:
        return None
    try:
        if sent.startswith(b"--"):
            sent = multipart(sent, sent[2:].partition(b"\n")[0].strip()).json
        found = orjson.loads(sent)
    except (orjson.JSONDecodeError, Unreadable):
        return None
    return found if isinstance(found, dict) else None


def _question(kind: str, job: Mapping[str, Any], around: Mapping[str, Any], project: str) -> Question:
    text = str(job.get("query") or "")
    legacy = job.get("useLegacySql")
    return Question(
        kind=kind,
        statement=normal(_NONE.without(text)),
        parameters=_spelled(job.get("queryParameters") or ()),
        default_dataset=_dotted(_mapping(job.get("defaultDataset")), project, "datasetId"),
        # Absent it is legacy SQL, in all of BigQuery's methods.
        dialect="" if kind != "query" else "standard SQL" if legacy in (False, "false") else "legacy SQL",
        destination=_destination(_mapping(job.get("destinationTable")), project),
        dry_run=around.get("dryRun") in (True, "true"),
        settings=_settings(job, kind),
        text=text,
    )


def _settings(job: Mapping[str, Any], kind: str) -> str:
    kept = {
        name: _property_values(value) if name == "connectionProperties" else value
        for name, value in job.items()
        if name not in _NO_MATTER and (kind != "query" or name not in _ASIDE) and value not in (None, [], {}, False)
    }
    return _spelled({name: value for name, value in kept.items() if value})


def _property_values(properties: object) -> list[Any]:
    """Without the session of BigQuery that it belongs to: its name is made up for each run."""
    listed = properties if isinstance(properties, list) else []
    return [each for each in listed if not (isinstance(each, dict) and each.get("key") == "session_id")]


def _destination(table: Mapping[str, Any], project: str) -> str:
    return "" if str(table.get("datasetId", "_")).startswith("_") else _dotted(table, project, "datasetId", "tableId")


def _dotted(reference: Mapping[str, Any], project: str, *names: str) -> str:
    if not reference.get("datasetId"):
        return ""
    return ".".join([str(reference.get("projectId") or project), *(str(reference.get(name, "")) for name in names)])


def _spelled(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
