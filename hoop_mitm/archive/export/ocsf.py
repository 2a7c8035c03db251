"""OCSF 1.6 events (https://schema.ocsf.io/1.6.0), one JSON object a line, for a SIEM.

A job is a Datastore Activity (6005). An exchange without a job is one too where it names tables, else an API Activity
(6003), as are events. The profiles ``cloud`` and ``security_control`` say where it happened and what the gateway said.
What OCSF has no attribute for stands in ``unmapped``, by the names that `hoop-mitm show --json` has.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from hoop_mitm import __version__
from hoop_mitm.archive import summary
from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import EventEntry, FlowEntry, JobEntry, SessionDetail, SessionEntry
from hoop_mitm.archive.values import instant
from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.verdict import Verdict

type Json = dict[str, Any]

VERSION = "1.6.0"

_APPLICATION_ACTIVITY = 6
_API, _DATASTORE = 6003, 6005
_CLASSES = {_API: "API Activity", _DATASTORE: "Datastore Activity"}
_ACTIVITIES = {
    _API: {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: "Other"},
    _DATASTORE: {1: "Read", 2: "Update", 4: "Query", 5: "Write", 6: "Create", 7: "Delete", 99: "Other"},
}
_READ, _UPDATE, _QUERY, _WRITE, _CREATE, _DELETE, _OTHER = 1, 2, 4, 5, 6, 7, 99

# By the first word of BigQuery's statement type, and by job type where there is no statement.
_STATEMENTS = {
    "SELECT": _QUERY,
    "INSERT": _WRITE,
    "UPDATE": _UPDATE,
    "MERGE": _UPDATE,
    "ALTER": _UPDATE,
    "DELETE": _DELETE,
    "TRUNCATE": _DELETE,
    "DROP": _DELETE,
    "CREATE": _CREATE,
    "LOAD": _WRITE,
    "COPY": _WRITE,
    "EXPORT": _READ,
    "EXTRACT": _READ,
}
_API_METHODS = {"GET": 2, "HEAD": 2, "POST": 1, "PUT": 3, "PATCH": 3, "DELETE": 4}
_DATASTORE_METHODS = {"GET": _READ, "HEAD": _READ, "POST": _WRITE, "PUT": _UPDATE, "PATCH": _UPDATE, "DELETE": _DELETE}
# Doors that are a POST and read all the same.
_READING = ("storage.CreateReadSession", "storage.ReadRows", "storage.SplitReadStream")

_ACTIONS = {"allow": (1, "Allowed"), "deny": (2, "Denied"), "review": (99, "Review")}
_DISPOSITIONS = {"allow": (1, "Allowed"), "deny": (2, "Blocked"), "review": (14, "Delayed")}
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium"}
_STATUSES = {0: "Unknown", 1: "Success", 2: "Failure"}
_UNKNOWN, _SUCCESS, _FAILURE = 0, 1, 2
_USER, _SERVICE = 1, 4
_HTTP_ERROR = 400


def write(_archive: Archive, detail: SessionDetail, _max_rows: int | None) -> Iterator[bytes]:
    """The lines, in the order of their times."""
    flows = {flow.id: flow for flow in detail.flows}
    events = [
        *(of_job(detail.session, job, [flows[id] for id in job.flows if id in flows]) for job in detail.jobs),  # noqa: A001
        *(of_flow(detail.session, flow) for flow in detail.flows if flow.job_key is None),
        *(of_event(detail.session, event) for event in detail.events),
    ]
    for event in sorted(events, key=lambda event: int(event["time"])):
        yield json.dumps(event).encode() + b"\n"


def of_job(session: SessionEntry, job: JobEntry, flows: Sequence[FlowEntry]) -> Json:
    """A job; ``flows`` are those that touch it."""
    outcome = summary.outcome(job)
    status = {"ok": _SUCCESS, "estimate": _SUCCESS, "error": _FAILURE, "denied": _FAILURE}.get(outcome, _UNKNOWN)
    first = flows[0] if flows else None
    tables = [*job.referenced_tables, *([target] if (target := summary.destination(job)) else [])]
    event = {
        **_base(_DATASTORE, _activity(job), session, job.started_at, uid=job.key, project=job.project),
        **_control(job.verdict, status, summary.trouble(job)),
        "api": {
            "operation": (first.door if first else None) or "jobs.insert",
            "service": {"name": "bigquery.googleapis.com"},
            "request": {"uid": job.id or job.key},
        },
        **_stored(tables, job.project),
        "src_endpoint": _endpoint(first.client_address if first else session.client_address),
        "message": f"{session.principal}: {job.statement_type or job.job_type} ({outcome})",
        "unmapped": _filled(
            {
                **_session_facts(session),
                "referenced_tables": [str(table) for table in job.referenced_tables],
                "destination": str(target) if target else None,
                "statement_type": job.statement_type,
                "job_type": job.job_type,
                "executed_statement": job.executed_statement,
                "fingerprint": job.fingerprint,
                "labels": job.labels,
                "dry_run": job.dry_run,
                "state": job.state,
                "bytes_processed": job.bytes_processed,
                "bytes_billed": job.bytes_billed,
                "cache_hit": job.cache_hit,
                "slot_ms": job.slot_ms,
                "row_count": job.row_count,
                "ended_at": instant(job.ended_at) if job.ended_at else None,
                "flows": list(job.flows),
            }
        ),
    }
    if job.location:
        event["cloud"]["region"] = job.location
    if job.statement is not None:
        event["query_info"] = _filled(
            {"query_string": job.statement, "uid": job.id, "query_time": _milliseconds(job.started_at)}
        )
    if first:
        event["http_request"] = _http_request(first)
    return event


def of_flow(session: SessionEntry, flow: FlowEntry) -> Json:
    """An exchange that belongs to no job."""
    failed = (
        (flow.status or 0) >= _HTTP_ERROR or bool(flow.grpc_status) or flow.state in ("failed", "truncated", "refused")
    )
    status = _UNKNOWN if flow.state == "open" else _FAILURE if failed else _SUCCESS
    kind = _DATASTORE if flow.tables else _API
    methods = _DATASTORE_METHODS if flow.tables else _API_METHODS
    activity = _READ if flow.tables and flow.door in _READING else methods.get(flow.method.upper(), _OTHER)
    trouble = flow.error or (flow.verdict.message if flow.verdict.decision != "allow" else None)
    project = flow.tables[0].project if flow.tables else None
    operation = flow.door or f"{flow.method} {flow.url}"
    response = _filled({"code": flow.status, "error_message": trouble})
    event = {
        **_base(kind, activity, session, flow.started_at, uid=flow.id, project=project),
        **_control(flow.verdict, status, trouble),
        "api": {
            "operation": operation,
            "service": {"name": flow.host},
            "request": {"uid": flow.id},
            **({"response": response} if response else {}),
        },
        **(_stored(flow.tables, project) if flow.tables else {}),
        "src_endpoint": _endpoint(flow.client_address),
        "dst_endpoint": {"hostname": flow.host},
        "http_request": _http_request(flow),
        "message": f"{session.principal}: {operation}",
        "unmapped": _filled(
            {
                **_session_facts(session),
                "tables": [str(table) for table in flow.tables],
                "state": flow.state,
                "kind": flow.kind,
                "grpc_status": flow.grpc_status,
                "level": flow.level,
                "request_size": flow.request_size,
                "response_size": flow.response_size,
                "ended_at": instant(flow.ended_at) if flow.ended_at else None,
            }
        ),
    }
    if flow.status is not None:
        event["http_response"] = {"code": flow.status, "length": flow.response_size}
        event["status_code"] = str(flow.status)
    return event


def of_event(session: SessionEntry, told: EventEntry) -> Json:
    """What is no exchange with BigQuery: ``activity_name`` is the event's type."""
    refused = told.type.endswith(".refused")
    verdict = Verdict("deny", told.type, told.message) if refused else Verdict("allow", told.type)
    return {
        **_base(_API, _OTHER, session, told.at, uid=told.id),
        **_control(verdict, _FAILURE if refused else _SUCCESS, told.message if refused else None),
        "activity_name": told.type,
        "type_name": f"{_CLASSES[_API]}: {told.type}",
        "api": {"operation": told.type, "service": {"name": "hoop-mitm"}},
        "src_endpoint": _endpoint(told.client_address or session.client_address),
        "message": told.message,
        "unmapped": _filled({**_session_facts(session), "flow": told.flow_id, "details": told.details}),
    }


def _base(
    kind: int, activity: int, session: SessionEntry, at: datetime, *, uid: str, project: str | None = None
) -> Json:
    name = _ACTIVITIES[kind][activity]
    return {
        "category_uid": _APPLICATION_ACTIVITY,
        "category_name": "Application Activity",
        "class_uid": kind,
        "class_name": _CLASSES[kind],
        "activity_id": activity,
        "activity_name": name,
        "type_uid": kind * 100 + activity,
        "type_name": f"{_CLASSES[kind]}: {name}",
        "time": _milliseconds(at),
        "metadata": {
            "version": VERSION,
            "uid": uid,
            "correlation_uid": session.id,
            "original_time": instant(at),
            "profiles": ["cloud", "security_control"],
            "product": {"name": "hoop-mitm", "vendor_name": "hoop-mitm", "version": __version__},
        },
        "cloud": {
            "provider": "GCP",
            **({"account": {"uid": project, "type_id": 11, "type": "GCP Project"}} if project else {}),
        },
        "actor": {
            "user": _user(session.principal),
            "session": {
                "uid": session.id,
                "issuer": session.principal.issuer,
                "created_time": _milliseconds(session.started_at),
            },
            "app_name": session.agent,
        },
    }


def _user(who: Principal) -> Json:
    machine = who.kind == "machine"
    return _filled(
        {
            "uid": who.subject,
            "name": str(who),
            "email_addr": who.email,
            "domain": who.issuer,
            "groups": [{"name": group} for group in who.groups],
            "type_id": _SERVICE if machine else _USER,
            "type": "Service" if machine else "User",
        }
    )


def _control(verdict: Verdict, status: int, detail: str | None) -> Json:
    """How it ended, and what the gateway said to it."""
    action_id, action = _ACTIONS[verdict.decision]
    disposition_id, disposition = _DISPOSITIONS[verdict.decision]
    severity = 3 if verdict.decision == "deny" else 2 if status == _FAILURE else 1
    return {
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "status_id": status,
        "status": _STATUSES[status],
        **({"status_detail": detail} if detail else {}),
        "action_id": action_id,
        "action": action,
        "disposition_id": disposition_id,
        "disposition": disposition,
        "policy": {"name": verdict.rule, "is_applied": True},
    }


def _stored(tables: Sequence[TableRef], project: str | None) -> Json:
    """The project as database, and the table where it is one; ``unmapped`` has all of them."""
    database = project or (tables[0].project if tables else "unknown")
    shape: Json = {
        "type_id": 1,
        "type": "Database",
        "database": {"name": database, "uid": database, "type_id": 1, "type": "Relational"},
    }
    if len(set(tables)) == 1:
        table = tables[0]
        shape |= {"type_id": 3, "type": "Table", "table": {"name": f"{table.dataset}.{table.table}", "uid": str(table)}}
    return shape


def _activity(job: JobEntry) -> int:
    word = (job.statement_type or "").partition("_")[0].upper()
    return _STATEMENTS.get(word) or _STATEMENTS.get(job.job_type) or (_QUERY if job.job_type == "QUERY" else _OTHER)


def _http_request(flow: FlowEntry) -> Json:
    return {
        "http_method": flow.method,
        "url": {"url_string": flow.url, "hostname": flow.host, "path": _path(flow.url)},
        "user_agent": flow.user_agent,
        "version": flow.http_version,
        "length": flow.request_size,
    }


def _path(url: str) -> str:
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return "/"


def _session_facts(session: SessionEntry) -> Json:
    return {"session_name": session.name, "connection": session.connection}


def _filled(shape: Json) -> Json:
    """Without what is not known: OCSF has no null."""
    return {name: value for name, value in shape.items() if value is not None and value not in ([], {})}


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _endpoint(address: str) -> Json:
    return {"ip": address} if address else {"name": "unknown"}
