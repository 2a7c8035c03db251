"""A job that waits at the gateway and that BigQuery does not know yet: how it is described meanwhile, and as what it is
sent in the end.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job, …/jobs/query, …/jobs/getQueryResults
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from hoop_mitm.bigquery.operation import Door, Operation
from hoop_mitm.bigquery.rewriting import with_labels
from hoop_mitm.bigquery.unreadable import Unreadable

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EMPTY: Final = msgspec.Raw(b"{}")

_INSERT: Final = Operation(Door("jobs.insert", "admin", body="json"), "")

_OF_THE_JOB: Final = frozenset({"labels", "jobTimeoutMs", "reservation", "maxSlots"})
"""Fields of a `jobs.query` request that a job has beside its query; `dryRun` never waits."""

_OF_THE_QUERY: Final = frozenset({
    "query", "defaultDataset", "useQueryCache", "useLegacySql", "parameterMode", "queryParameters", "preserveNulls",
    "connectionProperties", "createSession", "continuous", "writeIncrementalResults", "maximumBytesBilled",
    "destinationEncryptionConfiguration",
})  # fmt: skip

_OF_THE_ANSWER: Final = frozenset(
    {"kind", "maxResults", "timeoutMs", "formatOptions", "requestId", "jobCreationMode", "location", "dryRun"}
)
"""What says only how the answer should look, or stands in the job's reference."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits, or that ended before BigQuery saw it.

    Attributes:
        configuration: of the job, as JSON; without what is nobody's business but the gateway's.
        error: why it ended, for the client's user; ``None`` while it waits.
        reason: BigQuery's word for that error (``accessDenied``, ``stopped`` …).
    """

    project: str
    job_id: str
    location: str | None
    configuration: bytes
    created_at: datetime
    error: str | None = None
    reason: str = "accessDenied"

    @property
    def reference(self) -> dict[str, str]:
        """BigQuery's ``jobReference``."""
        place = {"location": self.location} if self.location else {}
        return {"projectId": self.project, "jobId": self.job_id, **place}


def job(waiting: Waiting) -> bytes:
    """What ``jobs.insert`` and ``jobs.get`` answer."""
    return msgspec.json.encode(_job(waiting))


def cancelled(waiting: Waiting) -> bytes:
    """What ``jobs.cancel`` answers."""
    return msgspec.json.encode({"kind": "bigquery#jobCancelResponse", "job": _job(waiting)})


def results(waiting: Waiting, door: Literal["jobs.query", "jobs.getQueryResults"]) -> bytes:
    """What the two answer that give rows, while there are none."""
    kind = "bigquery#queryResponse" if door == "jobs.query" else "bigquery#getQueryResultsResponse"
    return msgspec.json.encode({"kind": kind, "jobReference": waiting.reference, "jobComplete": False})


def _job(waiting: Waiting) -> dict[str, Any]:
    created = str(int(waiting.created_at.timestamp() * 1000))
    place = waiting.location or ""
    status: dict[str, Any] = {"state": "PENDING"}
    if waiting.error is not None:
        error = {"reason": waiting.reason, "message": waiting.error}
        status = {"state": "DONE", "errorResult": error, "errors": [error]}
    return {
        "kind": "bigquery#job",
        "id": f"{waiting.project}:{place}.{waiting.job_id}" if place else f"{waiting.project}:{waiting.job_id}",
        "jobReference": waiting.reference,
        "configuration": msgspec.Raw(waiting.configuration),
        "statistics": {"creationTime": created},
        "status": status,
    }


def configuration_of(door: str, body: bytes) -> bytes:
    """The job configuration that a request means, as ``jobs.insert`` takes it; what it holds stays byte for byte.

    Args:
        door: ``jobs.insert`` or ``jobs.query``.
        body: without content-encoding.

    Raises:
        Unreadable: it asks for something that a job cannot be told.
    """
    fields = _decoded(body)
    if door == "jobs.insert":
        configuration = _decoded(bytes(fields.get("configuration", _EMPTY)))
        if configuration.keys().isdisjoint(("query", "load", "copy", "extract")):
            raise Unreadable("it describes no job.")
        return bytes(fields["configuration"])
    if unknown := fields.keys() - _OF_THE_JOB - _OF_THE_QUERY - _OF_THE_ANSWER:
        raise Unreadable(
            f"it has to wait for a review, and hoop-mitm does not know what {min(unknown)[:60]!r} means for a job that waits; "
            "send it as jobs.insert."
        )
    query = {name: value for name, value in fields.items() if name in _OF_THE_QUERY}
    of_the_job = {name: value for name, value in fields.items() if name in _OF_THE_JOB}
    return msgspec.json.encode({"query": query, **of_the_job})


def labelled(configuration: bytes, labels: Mapping[str, str]) -> bytes:
    """A job configuration with labels of ours on it, as ``with_labels`` puts them on."""
    body = msgspec.json.encode({"configuration": msgspec.Raw(configuration)})
    return configuration_of("jobs.insert", with_labels(_INSERT, body, labels))


def as_insert(waiting: Waiting) -> bytes:
    """The body of the ``jobs.insert`` that starts it."""
    reference = msgspec.json.encode(waiting.reference)
    return msgspec.json.encode(
        {"jobReference": msgspec.Raw(reference), "configuration": msgspec.Raw(waiting.configuration)}
    )


def parts_of(configuration: bytes) -> tuple[str, Mapping[str, Any]]:
    """What a person looks at apart: the statement, and all the rest of a configuration."""
    plain: dict[str, Any] = msgspec.json.decode(configuration)
    query = plain.get("query")
    if isinstance(query, dict) and isinstance(statement := query.get("query"), str):
        rest = {name: value for name, value in query.items() if name != "query"}
        return statement, {**plain, "query": rest}
    return "", plain


def request_id(body: bytes) -> str:
    """``requestId`` of a ``jobs.query``, by which a client says that it asks again for the same; ``""`` without one."""
    found = _decoded(body).get("requestId", msgspec.Raw(b'""'))
    try:
        return msgspec.json.decode(found, type=str)
    except msgspec.DecodeError:
        return ""


def _decoded(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _object.decode(body)
    except msgspec.DecodeError as error:
        raise Unreadable("its body is not a JSON object.") from error
