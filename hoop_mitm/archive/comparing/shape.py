"""A comparison as JSON. Names are stable: what is added later is added, and nothing changes its meaning."""

from collections import Counter
from typing import Any

from hoop_mitm.archive import shapes
from hoop_mitm.archive.comparing.found import JobDiff, Piece, RowChange, RowDiff, SchemaDiff, SessionDiff
from hoop_mitm.archive.entries import JobEntry
from hoop_mitm.archive.values import plain

type Json = dict[str, Any]

_COMPARED = frozenset(
    (
        "id",
        "number",
        "job_type",
        "statement",
        "executed_statement",
        "state",
        "error",
        "verdict",
        "referenced_tables",
        "destination",
        "bytes_processed",
        "bytes_billed",
        "cache_hit",
        "slot_ms",
        "row_count",
        "started_at",
        "ended_at",
        "duration_ms",
    )
)


def of_sessions(found: SessionDiff) -> Json:
    """All of it: ``outcome``, ``summary``, the two sessions ``a`` and ``b``, and ``jobs``."""
    return {
        "outcome": found.outcome,
        "same": found.same,
        "summary": summary(found),
        "a": shapes.session(found.before),
        "b": shapes.session(found.after),
        "jobs": [of_job(each) for each in found.jobs],
    }


def summary(found: SessionDiff) -> Json:
    """How many pairs of jobs there are of each kind, and how many differ in what."""
    differences = Counter(difference for job in found.jobs for difference in job.differences)
    rows = [job.rows for job in found.jobs if job.rows is not None]
    return {
        "jobs": {kind: found.count(kind) for kind in ("same", "added", "removed", "changed")}
        | {"not_fully_compared": sum(bool(job.unknown) for job in found.jobs)},
        "differences": dict(differences.most_common()),
        "rows": {name: sum(getattr(each, name) for each in rows) for name in ("same", "added", "removed", "changed")},
    }


def of_job(found: JobDiff) -> Json:
    known = found.after or found.before
    return {
        "change": found.change,
        "differences": list(found.differences),
        "statement": known.statement if known else None,
        "a": _compared(found.before),
        "b": _compared(found.after),
        "statement_diff": _pieces(found.statement),
        "executed_diff": _pieces(found.executed),
        "parameters": None if found.parameters is None else {"a": found.parameters[0], "b": found.parameters[1]},
        "tables": {"removed": list(found.tables[0]), "added": list(found.tables[1])},
        "figures": {
            figure.name: {"a": figure.before, "b": figure.after, "beyond_tolerance": figure.beyond}
            for figure in found.figures
        },
        "schema": None if found.schema is None else _schema(found.schema),
        "rows": None if found.rows is None else _rows(found.rows),
        "remarks": list(found.remarks),
        "unknown": list(found.unknown),
    }


def _compared(entry: JobEntry | None) -> Json | None:
    if entry is None:
        return None
    shape = {name: value for name, value in shapes.job(entry).items() if name in _COMPARED}
    # What was done without a job has no place among the jobs.
    return shape | {"number": entry.number or None}


def _pieces(found: tuple[Piece, ...]) -> list[Json] | None:
    return [{"kind": piece.kind, "text": piece.text} for piece in found] or None


def _schema(found: SchemaDiff) -> Json:
    return {
        "added": [{"name": each.name, "b": shapes.column(each.after)} for each in found.added if each.after],
        "removed": [{"name": each.name, "a": shapes.column(each.before)} for each in found.removed if each.before],
        "changed": [
            {"name": each.name, "a": shapes.column(each.before), "b": shapes.column(each.after)}
            for each in found.changed
            if each.before and each.after
        ],
        "reordered": found.reordered,
    }


def _rows(found: RowDiff) -> Json:
    return {
        "same": found.same,
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "changed_by_column": dict(found.columns),
        "key": list(found.key),
        "key_given": found.key_given,
        "ordered": found.ordered,
        "reordered": found.reordered,
        "not_compared": dict(found.left_out),
        "samples": [_change(each) for each in found.samples],
    }


def _change(found: RowChange) -> Json:
    return {
        "change": found.change,
        "a": plain(found.before),
        "b": plain(found.after),
        "cells": list(found.cells),
    }
