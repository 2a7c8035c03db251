"""The dry run that tells what a statement would do: the same job, asked for but not run."""

from collections.abc import Mapping
from typing import Any, Final

from hoop_mitm.bigquery.operation import Operation

_QUERY_FIELDS: Final = (
    "query",
    "useLegacySql",
    "defaultDataset",
    "useQueryCache",
    "parameterMode",
    "queryParameters",
    "connectionProperties",
    "destinationEncryptionConfiguration",
    "continuous",
    "writeIncrementalResults",
)
"""What a ``jobs.query`` request says of its query, under the names that ``jobs.insert`` has for it. The rest of it is about
how the answer is to look, or about the job and not about what it reads."""

_NOT_ASKED: Final = ("maximumBytesBilled", "createSession")
"""A limit would hide how far it is exceeded, and nothing is begun by asking."""


def trial(operation: Operation) -> dict[str, Any]:
    """The body of a ``jobs.insert`` that only tries what the operation's statement does.

    It names no job id, so that the real one stays free, and carries no labels.
    """
    body = operation.body or {}
    match operation.door.name:
        case "jobs.insert":
            query = dict(_object(_object(body, "configuration"), "query"))
        case "jobs.query":
            query = {name: body[name] for name in _QUERY_FIELDS if name in body}
        case _:
            query = {"query": operation.statement, "useLegacySql": False}
    for name in _NOT_ASKED:
        query.pop(name, None)
    asked: dict[str, Any] = {"configuration": {"dryRun": True, "query": query}}
    if operation.location:
        asked["jobReference"] = {"projectId": operation.project, "location": operation.location}
    return asked


def own_limit(operation: Operation) -> int | None:
    """The ``maximumBytesBilled`` that the client itself set; ``None`` where it set none that BigQuery would heed."""
    body: Mapping[str, Any] = operation.body or {}
    if operation.door.name == "jobs.insert":
        body = _object(_object(body, "configuration"), "query")
    value = body.get("maximumBytesBilled")
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:  # noqa: PLR2004 - 64 bits
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _object(owner: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = owner.get(key)
    return value if isinstance(value, Mapping) else {}
