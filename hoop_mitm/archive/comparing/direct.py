"""What a client did to tables without a job, as a job: reading rows, writing, and what was refused."""

from collections.abc import Iterator
from dataclasses import replace

from hoop_mitm.archive.entries import FlowEntry, JobEntry, SessionDetail
from hoop_mitm.archive.summary import READS_ROWS

#: The ``job_type`` of rows that were read without a job; of all else it is the door. Their ``number`` is 0.
READ = "READ"


def asked(detail: SessionDetail) -> tuple[JobEntry, ...]:
    """The jobs of a session, and among them, in order, what was done without one."""
    return tuple(sorted([*detail.jobs, *_direct(detail)], key=lambda job: (job.started_at, job.key)))


def _direct(detail: SessionDetail) -> Iterator[JobEntry]:
    alone = [flow for flow in detail.flows if flow.job_key is None and flow.door is not None]
    streamed = tuple(flow.id for flow in alone if flow.door == "storage.ReadRows")
    lists: dict[str, JobEntry] = {}
    for flow in alone:
        if flow.verdict.decision != "deny" and flow.door == "tabledata.list":
            table = str(flow.tables)
            # A page that is asked for by a token belongs to the one before it.
            if table in lists and "pageToken=" in flow.url:
                lists[table] = replace(lists[table], flows=(*lists[table].flows, flow.id), ended_at=flow.ended_at)
                continue
            if table in lists:
                yield lists[table]
            lists[table] = _entry(flow, (flow.id,))
        elif flow.door == "storage.CreateReadSession":
            yield _entry(flow, (flow.id, *streamed))
        elif flow.verdict.decision == "deny" or flow.kind == "write":
            yield _entry(flow, (flow.id,))
    yield from lists.values()


def _entry(flow: FlowEntry, flows: tuple[str, ...]) -> JobEntry:
    return JobEntry(
        number=0,
        key=flow.id,
        id=None,
        project=None,
        location=None,
        statement=None,
        executed_statement=None,
        fingerprint=None,
        statement_type=None,
        job_type=READ if flow.door in READS_ROWS else flow.door or "",
        referenced_tables=flow.tables,
        destination=None,
        labels={},
        dry_run=False,
        state=_state(flow),
        error=_error(flow),
        verdict=flow.verdict,
        bytes_processed=None,
        bytes_billed=None,
        cache_hit=None,
        slot_ms=None,
        schema=None,
        row_count=None,
        started_at=flow.started_at,
        ended_at=flow.ended_at,
        flows=flows,
        program=flow.program,
    )


def _state(flow: FlowEntry) -> str:
    if flow.verdict.decision == "deny":
        return "DENIED"
    return "DONE" if flow.state == "complete" else flow.state.upper()


def _error(flow: FlowEntry) -> str | None:
    if flow.verdict.decision == "deny":
        return None
    if flow.grpc_status:
        return f"gRPC status {flow.grpc_status}"
    return f"HTTP status {flow.status}" if flow.status is not None and flow.status >= 400 else None  # noqa: PLR2004
