"""The query parameters of a job: they stand in what its client sent, not in its statement."""

import json
from typing import Any

import orjson

from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import FlowEntry, JobEntry
from hoop_mitm.archive.statements import keyed

_SENT_WITH = frozenset({"jobs.query", "jobs.insert"})


def of_job(archive: Archive, job: JobEntry, flows: dict[str, FlowEntry]) -> str | None:
    """The parameters as JSON in one spelling; ``None`` where the statement takes none, or they are not recorded."""
    if job.statement is None or not _takes_some(job.statement):
        return None
    sent = [flows[flow] for flow in job.flows if flow in flows and flows[flow].door in _SENT_WITH]
    for exchange in archive.exchanges(sent[:1]):
        found = _found(exchange.request_body)
        if found is not None:
            return json.dumps(found, ensure_ascii=False, sort_keys=True)
    return None


def _takes_some(statement: str) -> bool:
    return any(token.kind == "mark" and token.text in ("?", "@") for _, token in keyed(statement))


def _found(body: bytes | None) -> Any:
    try:
        sent = orjson.loads(body or b"null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(sent, dict):
        return None
    configuration = sent.get("configuration")
    query = configuration.get("query") if isinstance(configuration, dict) else sent
    return query.get("queryParameters") if isinstance(query, dict) else None
