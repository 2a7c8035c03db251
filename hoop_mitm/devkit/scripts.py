"""The jobs of a script: BigQuery runs each of its statements as a job of its own, below the script's."""

import hashlib
from typing import Any

import sqlglot
from sqlglot.errors import SqlglotError

_STATISTICS = ("creationTime", "startTime", "endTime")


def children(parent: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs of a script's statements, as resources; none when ``parent`` is no script, or one that branches."""
    query = parent["statistics"].get("query", {})
    if query.get("statementType") != "SCRIPT" or "errorResult" in parent["status"]:
        return []
    statements = _statements(parent["configuration"]["query"]["query"])
    parent["statistics"]["numChildJobs"] = str(len(statements))
    reference = parent["jobReference"]
    return [_child(parent, reference, number, statement) for number, statement in enumerate(statements)]


def _child(parent: dict[str, Any], reference: dict[str, str], number: int, statement: str) -> dict[str, Any]:
    digest = hashlib.sha256(f"{reference['jobId']} {number}".encode()).hexdigest()[:32]
    job_id = f"script_job_{digest}_{number}"
    statistics = {name: parent["statistics"][name] for name in _STATISTICS}
    configuration = parent["configuration"]
    return parent | {
        "id": f"{reference['projectId']}:{reference['location']}.{job_id}",
        "jobReference": reference | {"jobId": job_id},
        "configuration": configuration | {"query": configuration["query"] | {"query": statement}},
        "statistics": statistics
        | {
            "parentJobId": reference["jobId"],
            "scriptStatistics": {"evaluationKind": "STATEMENT"},
            "query": {"statementType": statement.split(maxsplit=1)[0].upper(), "totalBytesBilled": "0"},
        },
    }


def _statements(script: str) -> list[str]:
    """The statements of a script without blocks, as they are written."""
    try:
        tokens = sqlglot.tokenize(script, dialect="bigquery")
    except SqlglotError:
        return []
    if any(token.token_type.name == "BEGIN" for token in tokens):
        return []
    cuts = [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    parts = [
        script[start:end].strip() for start, end in zip([0, *(cut + 1 for cut in cuts)], [*cuts, None], strict=True)
    ]
    return [part for part in parts if part]
