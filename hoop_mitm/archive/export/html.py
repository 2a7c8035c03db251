"""One page that an auditor reads offline: who, through what, what was asked, what came back, what was refused.

The page loads nothing and runs nothing: no scripts, no links outwards, its one style sheet in it, and a content
security policy that forbids everything else. Times are in UTC, so that two readers see the same.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from hoop_mitm import __version__
from hoop_mitm.archive import summary, words
from hoop_mitm.archive.archive import Archive
from hoop_mitm.archive.entries import FlowEntry, JobEntry, SessionDetail, SessionEntry
from hoop_mitm.archive.export import sheet
from hoop_mitm.archive.export.markup import Content, Markup, inside, tag
from hoop_mitm.archive.results import Result
from hoop_mitm.bigquery.unreadable import Unreadable

_OPEN_ROWS = 20
_NUMBERS = {"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}
_STATUS = {
    "active": "still active when this page was made",
    "ended": "ended",
    "interrupted": "never closed: the gateway stopped without saying so",
    "imported": "imported from another program's file: no evidence of this gateway",
}


def write(archive: Archive, detail: SessionDetail, max_rows: int | None) -> Iterator[bytes]:
    """The page's bytes, part by part."""
    for part in _parts(archive, detail, max_rows):
        yield part.encode()


def _parts(archive: Archive, detail: SessionDetail, max_rows: int | None) -> Iterator[str]:
    yield sheet.top(f"{detail.session.name}: a recorded session")
    yield inside(_title(detail.session, detail.programs))
    yield inside(_tables(detail))
    yield inside(_attention(detail))
    if detail.jobs:
        yield inside(tag("h2", "Jobs", id="jobs"))
    for job in detail.jobs:
        yield inside(_job(job, _rows_of_job(archive, job, max_rows))) + "\n"
    direct = [flow for flow in detail.flows if flow.job_key is None and flow.door in summary.READS_ROWS]
    if direct:
        yield inside(tag("h2", "Rows that were read without a job", id="reads"))
    for flow in direct:
        yield inside(_read(flow, _rows_of_flow(archive, flow, max_rows))) + "\n"
    yield inside(_exchanges(detail.flows))
    yield inside(_events(detail))
    yield inside(_foot(archive, detail)) + sheet.BOTTOM


def _title(session: SessionEntry, programs: Sequence[str]) -> Markup:
    who = session.principal
    facts: list[tuple[str, Content]] = [
        (
            "Who",
            [tag("b", str(who)), f" ({who.kind}), ", f"groups {', '.join(who.groups)}" if who.groups else "no groups"],
        ),
        ("Identity", f"{who.subject} at {who.issuer}"),
        ("Through", f"{session.connection}, with {session.agent} from {session.client_address}"),
        ("Program", ", ".join(programs)),
        (
            "When",
            f"{sheet.moment(session.started_at)} to {sheet.moment(session.ended_at or session.last_seen_at)} UTC ({words.took(session.duration)})",
        ),
        (
            "What",
            [
                f"{words.count(session.jobs, 'job')}, {words.count(session.flows, 'exchange')}, ",
                tag("span", f"{session.denied:,} denied", class_="bad") if session.denied else "none denied",
            ],
        ),
        ("Read", f"{words.size(session.bytes_processed)}, {words.price(session.bytes_billed)} at list price"),
        ("Status", _STATUS[session.status]),
        ("Session", tag("code", session.id)),
    ]
    return tag("header", tag("h1", session.name), sheet.facts(facts))


def _tables(detail: SessionDetail) -> Content:
    reads = summary.tables_read(detail)
    if not reads:
        return None
    rows = [tag("tr", tag("td", tag("code", name)), tag("td", _readers(readers))) for name, readers in reads.items()]
    return [
        tag("h2", "Tables that were read", id="tables"),
        tag("table", tag("thead", tag("tr", tag("th", "Table"), tag("th", "By"))), tag("tbody", rows)),
    ]


def _readers(readers: Sequence[str]) -> Iterator[Content]:
    """``#3`` leads to the job."""
    for place, reader in enumerate(readers):
        yield ", " if place else ""
        yield tag("a", reader, href=f"#job-{reader[1:]}") if reader.startswith("#") else reader


def _attention(detail: SessionDetail) -> Content:
    items: list[Markup] = []
    for concern in summary.concerns(detail):
        if concern.job is not None:
            number = str(concern.job.number)
            where: Content = [tag("a", f"#{number}", href=f"#job-{number}"), " ", _outcome(concern.job), " "]
        elif concern.flow is not None:
            where = [_clock(concern.flow.started_at), " ", tag("code", _name(concern.flow)), " "]
        else:
            where = [_clock(concern.event.at), " "] if concern.event else None
        items.append(tag("li", where, tag("span", concern.message, class_="said")))
    if not items:
        return tag("p", "Nothing was refused and nothing failed.", class_="quiet")
    return [tag("h2", "Needs attention", id="attention"), tag("ul", items, class_="attention")]


def _job(job: JobEntry, result: Content) -> Markup:
    problem = summary.trouble(job)
    changed = job.executed_statement is not None and job.executed_statement != job.statement
    head: Content = [
        tag("a", f"#{job.number}", href=f"#job-{job.number}"),
        " ",
        _outcome(job),
        " ",
        job.statement_type or job.job_type,
    ]
    return tag(
        "section",
        tag("h3", head, " ", tag("span", _figures(job), class_="quiet")),
        tag("p", problem, class_="said") if problem else None,
        sheet.sql(job.statement) if job.statement is not None else None,
        [tag("p", "What BigQuery was given instead:"), sheet.sql(job.executed_statement or "")] if changed else None,
        result,
        tag("details", tag("summary", "About this job"), _about(job)),
        id=f"job-{job.number}",
        class_="job",
    )


def _about(job: JobEntry) -> Markup:
    target = summary.destination(job)
    until = f" to {sheet.moment(job.ended_at)}" if job.ended_at else ""
    return sheet.facts(
        [
            ("Job", tag("code", job.id) if job.id else "BigQuery gave it no id"),
            ("When", f"{sheet.moment(job.started_at)}{until} UTC"),
            ("Where", " · ".join(part for part in (job.project, job.location) if part)),
            ("Read", ", ".join(str(table) for table in job.referenced_tables)),
            ("Wrote to", str(target) if target else None),
            ("Verdict", f"{job.verdict.decision} (rule {job.verdict.rule})"),
            ("Labels", ", ".join(f"{name}={value}" for name, value in job.labels.items())),
            ("Columns", ", ".join(f"{column.name} {column.type}" for column in job.schema or ())),
            ("Exchanges", [[tag("a", flow[-12:], href=f"#flow-{flow}"), " "] for flow in job.flows]),
        ]
    )


def _outcome(job: JobEntry) -> Markup:
    found = summary.outcome(job)
    word = summary.last_word(job) if found == "unfinished" else found
    return tag(
        "span", word, class_=f"outcome {'bad' if found in ('denied', 'error') else 'good' if found == 'ok' else 'odd'}"
    )


def _figures(job: JobEntry) -> str:
    parts = [sheet.moment(job.started_at)]
    if job.row_count is not None:
        parts.append(words.count(job.row_count, "row"))
    if job.bytes_processed is not None:
        parts.append(words.size(job.bytes_processed) + (" estimated" if job.dry_run else ""))
    if job.cache_hit:
        parts.append("from cache")
    elif job.bytes_billed and not job.dry_run:
        parts.append(words.price(job.bytes_billed))
    if job.duration is not None and job.verdict.decision != "deny":
        parts.append(words.took(job.duration))
    return " · ".join(parts)


def _rows_of_job(archive: Archive, job: JobEntry, max_rows: int | None) -> Content:
    if job.verdict.decision == "deny" or job.error or job.dry_run:
        return None
    try:
        result = archive.rows(job, max_rows)
    except Unreadable:
        return tag("p", "What was recorded of its result cannot be read.", class_="quiet")
    if result is None:
        return tag("p", "No rows of it are recorded.", class_="quiet") if job.row_count else None
    return _result(result, job.row_count)


def _rows_of_flow(archive: Archive, flow: FlowEntry, max_rows: int | None) -> Content:
    try:
        result = archive.rows_of_flow(flow, max_rows)
    except Unreadable:
        result = None
    return tag("p", "No rows of it are recorded.", class_="quiet") if result is None else _result(result, None)


def _read(flow: FlowEntry, result: Content) -> Markup:
    tables = ", ".join(str(table) for table in flow.tables)
    head: Content = [
        _name(flow),
        " of ",
        tag("code", tables),
        " ",
        tag("span", sheet.moment(flow.started_at), class_="quiet"),
    ]
    return tag("section", tag("h3", head), result, class_="job")


def _result(result: Result, total: int | None) -> Content:
    shown = result.table.num_rows
    whole = result.total if result.total is not None else total
    title = (
        words.count(shown, "row") if whole is None or whole <= shown else f"{shown:,} of {words.count(whole, 'row')}"
    )
    if result.complete is False:
        title += " (the client did not read them all)"
    right = [column.type in _NUMBERS and column.mode != "REPEATED" for column in result.columns]
    names = [
        tag("th", column.name, class_="right" if number else None, title=column.type)
        for column, number in zip(result.columns, right, strict=True)
    ]
    rows = [
        tag("tr", [sheet.cell(value, number=number) for value, number in zip(row.values(), right, strict=True)])
        for row in result.rows()
    ]
    table = tag("div", tag("table", tag("thead", tag("tr", names)), tag("tbody", rows)), class_="wide")
    return tag("details", tag("summary", title), table, open=shown <= _OPEN_ROWS)


def _exchanges(flows: Sequence[FlowEntry]) -> Content:
    if not flows:
        return None
    titles = ("Time", "Exchange", "Outcome", "Sent", "Received", "Took", "Flow")
    rows = [
        tag(
            "tr",
            tag("td", _clock(flow.started_at)),
            tag("td", tag("code", _name(flow))),
            tag("td", _flow_outcome(flow)),
            tag("td", words.size(flow.request_size), class_="right"),
            tag("td", words.size(flow.response_size), class_="right"),
            tag("td", words.took(flow.duration), class_="right"),
            tag("td", tag("code", flow.id)),
            id=f"flow-{flow.id}",
        )
        for flow in flows
    ]
    table = tag("table", tag("thead", tag("tr", [tag("th", title) for title in titles])), tag("tbody", rows))
    return [
        tag("h2", "Exchanges", id="exchanges"),
        tag("details", tag("summary", words.count(len(flows), "exchange")), tag("div", table, class_="wide")),
    ]


def _flow_outcome(flow: FlowEntry) -> Content:
    if flow.verdict.decision == "deny":
        return tag("span", f"denied ({flow.verdict.rule})", class_="bad")
    if flow.state == "open":
        told = (
            f"{flow.resolved.outcome.replace('_', ' ')} (its answer was lost)" if flow.resolved else "outcome unknown"
        )
        return tag("span", told, class_="odd")
    if flow.state in ("failed", "truncated"):
        return tag("span", flow.state, f": {flow.error}" if flow.error else None, class_="bad")
    if flow.grpc_status is not None:
        return "OK" if flow.grpc_status == 0 else tag("span", f"gRPC {flow.grpc_status}", class_="bad")
    return str(flow.status or "")


def _events(detail: SessionDetail) -> Content:
    if not detail.events:
        return None
    rows = [
        tag("tr", tag("td", _clock(event.at)), tag("td", tag("code", event.type)), tag("td", event.message))
        for event in detail.events
    ]
    head = tag("thead", tag("tr", tag("th", "Time"), tag("th", "Event"), tag("th", "What happened")))
    return [tag("h2", "Events", id="events"), tag("table", head, tag("tbody", rows))]


def _foot(archive: Archive, detail: SessionDetail) -> Markup:
    levels = sorted({flow.level for flow in detail.flows} - {"full"})
    notes = [
        f"Made by hoop-mitm {__version__} from {archive.path.name} at {sheet.moment(datetime.now(UTC))} UTC. All times are in UTC.",
        "This is a copy for reading: the evidence is the recording. The page loads nothing and runs nothing.",
        "It is as confidential as the data in it.",
        f"Not everything was kept: some exchanges were recorded at the level {', '.join(levels)}." if levels else None,
        "Newer records were still in the journal when it was made." if archive.pending else None,
    ]
    return tag("footer", [tag("p", note) for note in notes if note])


def _name(flow: FlowEntry) -> str:
    return flow.door or f"{flow.method} {flow.url}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}"
