"""A comparison as one page to read offline: the summary first, then each job that differs, then what is the same."""

from collections.abc import Iterator
from datetime import UTC, datetime

from hoop_mitm import __version__
from hoop_mitm.archive.comparing import wording
from hoop_mitm.archive.comparing.found import JobDiff, Piece, RowChange, RowDiff, SchemaDiff, SessionDiff
from hoop_mitm.archive.entries import JobEntry, SessionEntry
from hoop_mitm.archive.export import sheet
from hoop_mitm.archive.export.markup import Content, Markup, inside, tag
from hoop_mitm.archive.words import count

_MARKS = {"same": "=", "added": "+", "removed": "-", "changed": "~"}
_CLASSES = {"same": "quiet", "added": "good", "removed": "bad", "changed": "odd"}
_OUTCOMES = {"same": "good", "different": "odd", "unknown": "odd"}
_SAME_SHOWN = 1000
_ONE_LINE = 160


def write(found: SessionDiff, recordings: tuple[str, str]) -> Iterator[bytes]:
    """The page's bytes, part by part; ``recordings`` are the names of the files that the sessions lie in."""
    for part in _parts(found, recordings):
        yield part.encode()


def _parts(found: SessionDiff, recordings: tuple[str, str]) -> Iterator[str]:
    yield sheet.top(f"{found.before.name} and {found.after.name}: what changed")
    yield inside(_title(found))
    shown = [job for job in found.jobs if job.change != "same" or job.unknown]
    if shown:
        yield inside(tag("h2", "What differs", id="differences"))
    for place, job in enumerate(shown, 1):
        yield inside(_job(job, place)) + "\n"
    yield inside(_same([job for job in found.jobs if job.change == "same" and not job.unknown]))
    yield inside(_foot(recordings)) + sheet.BOTTOM


def _title(found: SessionDiff) -> Markup:
    return tag(
        "header",
        tag("h1", "What changed"),
        tag("p", wording.verdict(found), class_=f"verdict {_OUTCOMES[found.outcome]}"),
        tag("ul", [tag("li", line) for line in wording.totals(found)]),
        sheet.facts([("A", _session(found.before)), ("B", _session(found.after))]),
    )


def _session(session: SessionEntry) -> Content:
    return [
        tag("b", session.name),
        f", {session.principal}, through {session.connection} with {session.agent}, ",
        f"{sheet.moment(session.started_at)} UTC, ",
        tag("code", session.id),
    ]


def _job(job: JobDiff, place: int) -> Markup:
    one = job.after or job.before
    assert one is not None
    what = {"added": "only in B", "removed": "only in A"}.get(job.change) or ", ".join(wording.job_words(job))
    head: Content = [
        tag("span", _MARKS[job.change], class_=f"mark {_CLASSES[job.change]}"),
        " ",
        tag("a", wording.numbers(job), href=f"#difference-{place}"),
        " ",
        tag("span", what or "not compared in full", class_=_CLASSES[job.change]),
    ]
    return tag(
        "section",
        tag("h3", head),
        _statement(job, one),
        list(_pair(job, job.before, job.after)) if job.before and job.after else _alone(one),
        [tag("p", remark, class_="quiet") for remark in job.remarks],
        [tag("p", reason, class_="odd") for reason in job.unknown],
        id=f"difference-{place}",
        class_="job",
    )


def _statement(job: JobDiff, one: JobEntry) -> Content:
    if job.statement:
        return _pieces(job.statement)
    return sheet.sql(one.statement) if one.statement is not None else tag("p", wording.subject(one))


def _pieces(pieces: tuple[Piece, ...]) -> Markup:
    names = {"removed": "del", "added": "ins"}
    parts: list[Content] = [
        piece.text if piece.kind == "same" else tag(names[piece.kind], piece.text) for piece in pieces
    ]
    return tag("pre", tag("code", parts), class_="sql")


def _alone(job: JobEntry) -> Content:
    if job.verdict.decision != "allow":
        return tag("p", wording.said(job, "verdict"), class_="said")
    return tag("p", job.error, class_="said") if job.error else None


def _pair(job: JobDiff, before: JobEntry, after: JobEntry) -> Iterator[Content]:
    for difference in ("verdict", "state", "error", "destination"):
        if difference in job.differences:
            old, new = wording.said(before, difference), wording.said(after, difference)
            yield tag("p", f"{difference}: ", tag("del", old), " → ", tag("ins", new))
    if job.executed:
        yield tag("p", "What BigQuery was given instead:")
        yield _pieces(job.executed)
    if job.parameters is not None:
        yield tag("p", "parameters: ", tag("del", job.parameters[0]), " → ", tag("ins", job.parameters[1]))
    tables = [tag("li", tag("del", table)) for table in job.tables[0]]
    tables += [tag("li", tag("ins", table)) for table in job.tables[1]]
    if tables:
        yield [tag("p", "Tables that were read:"), tag("ul", tables)]
    if job.schema is not None and job.schema.differ:
        yield _schema(job.schema)
    if job.rows is not None and job.rows.differ:
        yield from _rows(job.rows)
    if told := wording.figures(job):
        yield tag("p", told, class_="quiet")


def _schema(schema: SchemaDiff) -> Content:
    rows = [
        tag(
            "tr",
            tag("td", tag("code", change.name)),
            tag("td", wording.column(change.before), class_="was") if change.before else tag("td", "–"),
            tag("td", wording.column(change.after), class_="is") if change.after else tag("td", "–"),
        )
        for change in schema.columns
    ]
    head = tag("thead", tag("tr", tag("th", "Column"), tag("th", "A"), tag("th", "B")))
    return [
        tag("table", head, tag("tbody", rows)) if rows else None,
        tag("p", "The columns stand in another order.") if schema.reordered else None,
    ]


def _rows(rows: RowDiff) -> Iterator[Content]:
    yield tag("p", " ".join(filter(None, (wording.pairing(rows), wording.by_column(rows)))), class_="quiet")
    if not rows.samples:
        return
    names = list(rows.samples[0].after or rows.samples[0].before or ())
    head = [tag("th", "")] + [tag("th", f"{name} (key)" if name in rows.key else name) for name in names]
    body = [_row(change, names) for change in rows.samples]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body))
    rest = rows.added + rows.removed + rows.changed - len(rows.samples)
    yield tag("div", table, class_="wide")
    if rest > 0:
        yield tag("p", f"… and {count(rest, 'more row', 'more rows')}", class_="quiet")


def _row(change: RowChange, names: list[str]) -> Markup:
    mark = tag("td", tag("span", _MARKS[change.change], class_=f"mark {_CLASSES[change.change]}"))
    if change.before is None or change.after is None:
        row = change.after or change.before or {}
        return tag("tr", mark, [sheet.cell(row[name], number=False) for name in names], class_=change.change)
    return tag("tr", mark, [_cell(change, change.before, change.after, name) for name in names])


def _cell(change: RowChange, before: dict[str, object], after: dict[str, object], name: str) -> Markup:
    marked = [cell for cell in change.cells if cell == name or cell.startswith((f"{name}.", f"{name}["))]
    if not marked:
        return sheet.cell(after[name], number=False)
    inner = [cell for cell in marked if cell != name]
    where: Content = tag("div", ", ".join(inner), class_="odd") if inner else None
    old, new = tag("del", sheet.value_of(before[name])), tag("ins", sheet.value_of(after[name]))
    return tag("td", old, " → ", new, where, class_="changed")


def _same(jobs: list[JobDiff]) -> Content:
    if not jobs:
        return None
    items = [tag("li", wording.numbers(job), " ", tag("code", _short(job))) for job in jobs[:_SAME_SHOWN]]
    more = len(jobs) - len(items)
    return [
        tag("h2", "What is the same", id="same"),
        tag(
            "details",
            tag("summary", count(len(jobs), "job")),
            tag("ul", items),
            tag("p", f"… and {more:,} more", class_="quiet") if more else None,
        ),
    ]


def _short(job: JobDiff) -> str:
    one = job.after or job.before
    assert one is not None
    text = " ".join((one.statement or wording.subject(one)).split())
    return text if len(text) <= _ONE_LINE else f"{text[: _ONE_LINE - 1]}…"


def _foot(recordings: tuple[str, str]) -> Markup:
    files = recordings[0] if recordings[0] == recordings[1] else " and ".join(recordings)
    notes = (
        f"Made by hoop-mitm {__version__} from {files} at {sheet.moment(datetime.now(UTC))} UTC. All times are in UTC.",
        "This is a copy for reading: the evidence is the recording. The page loads nothing and runs nothing.",
        "It is as confidential as the data in it.",
    )
    return tag("footer", [tag("p", note) for note in notes])
