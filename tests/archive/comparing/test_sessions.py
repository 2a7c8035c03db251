import json

import pytest

from hoop_mitm.archive import align, diff, open_archive
from hoop_mitm.archive.comparing import Options, Ways, shape
from hoop_mitm.bigquery.fingerprints import fingerprint
from tests.archive.building import NOON, Builder, columns, seconds, table_ref, wire_rows

ID_AND_V = columns(id="INTEGER", v="STRING")
RESULT = [(1, "a"), (2, "b"), (3, "c")]


class Two:
    """Two sessions; each statement asked in one takes a second."""

    def __init__(self, builder):
        self.builder = builder
        self.ids = [builder.session("before"), builder.session("after", at=NOON + seconds(3600))]
        self.asked = [0, 0]

    def ask(self, side, statement, rows=RESULT, schema=ID_AND_V, **changes):
        self.asked[side] += 1
        at = NOON + seconds(3600 * side + self.asked[side])
        given = {"fingerprint": fingerprint(statement)} | changes
        self.builder.asked(self.ids[side], statement, schema, rows, at=at, **given)

    def both(self, statement, before=RESULT, after=RESULT, **changes):
        self.ask(0, statement, before, **changes)
        self.ask(1, statement, after, **changes)

    def compare(self):
        with open_archive(self.builder.write()) as archive:
            return diff(archive, archive.find(self.ids[0]), archive.find(self.ids[1]))

    def said(self):
        """Change, number of either job, differences."""
        return [
            (job.change, job.before and job.before.number, job.after and job.after.number, job.differences)
            for job in self.compare().jobs
        ]


@pytest.fixture
def two(builder):
    return Two(builder)


def test_sessions_that_asked_and_got_the_same_are_the_same(two):
    two.both("SELECT id, v FROM t")
    two.ask(0, "SELECT 1", bytes_processed=1, took=1)
    two.ask(1, "select  1 -- again", bytes_processed=10**9, took=9, cache_hit=True)
    found = two.compare()
    assert found.same
    assert [job.change for job in found.jobs] == ["same", "same"]


def test_empty_sessions_are_the_same(two):
    assert two.compare().same


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("AB", "AB", ["= 1 1", "= 2 2"]),
        ("AB", "AXB", ["= 1 1", "+ - 2", "= 2 3"]),
        ("AXB", "AB", ["= 1 1", "- 2 -", "= 3 2"]),
        ("A", "B", ["- 1 -", "+ - 1"]),
        ("", "A", ["+ - 1"]),
        ("AAB", "AB", ["= 1 1", "- 2 -", "= 3 2"]),
        ("ABC", "BCA", ["= 2 1", "= 3 2", "~ 1 3"]),
        ("XAY", "XBAY", ["= 1 1", "+ - 2", "= 2 3", "= 3 4"]),
    ],
)
def test_jobs_are_aligned_by_statement_and_order(two, before, after, expected):
    for side, letters in enumerate((before, after)):
        for letter in letters:
            two.ask(side, f"SELECT {letter} FROM {letter}")
    marks = {"same": "=", "added": "+", "removed": "-", "changed": "~"}
    said = [f"{marks[change]} {old or '-'} {new or '-'}" for change, old, new, _ in two.said()]
    assert said == expected


def test_a_statement_that_moved_is_said_to_have(two):
    for side, order in enumerate(("ab", "ba")):
        for letter in order:
            two.ask(side, f"SELECT {letter}")
    assert sorted((change, differences) for change, _, _, differences in two.said()) == [
        ("changed", ("moved",)),
        ("same", ()),
    ]


def test_edited_literals_are_a_changed_statement_and_exact_ones_are_paired_first(two):
    two.ask(0, "SELECT id FROM t WHERE d = '2026-01-01'")
    two.ask(0, "SELECT id FROM t WHERE d = '2026-01-02'")
    two.ask(0, "SELECT MAX(id) FROM t WHERE d = 5")
    two.ask(1, "SELECT id FROM t WHERE d = '2026-01-02'")
    two.ask(1, "SELECT MAX(id) FROM t WHERE d = 6")
    assert two.said() == [
        ("removed", 1, None, ()),
        ("same", 2, 1, ()),
        ("changed", 3, 2, ("literals",)),
    ]


@pytest.mark.parametrize(
    ("statement", "after", "differences"),
    [
        ("SELECT id, v FROM t", [(3, "c"), (1, "a"), (2, "b")], ()),
        ("SELECT id, v FROM t ORDER BY id", [(3, "c"), (1, "a"), (2, "b")], ("rows",)),
        ("SELECT id, v FROM t", [(1, "a"), (2, "x"), (3, "c")], ("rows",)),
        ("SELECT id, v FROM t", [], ("rows",)),
    ],
)
def test_rows_are_compared_as_the_statement_means_them(two, statement, after, differences):
    two.both(statement, RESULT, after)
    assert two.said()[0][3] == differences


def test_rows_that_changed_are_named_with_their_key(two):
    two.both("SELECT id, v FROM t", RESULT, [(1, "a"), (2, "x"), (4, "d")])
    [job] = two.compare().jobs
    assert (job.rows.same, job.rows.added, job.rows.removed, job.rows.changed) == (1, 1, 1, 1)
    assert job.rows.key == ("id",)
    assert job.rows.samples[0].after == {"id": 2, "v": "x"}


def test_a_changed_schema_is_named_column_by_column(two):
    two.ask(0, "SELECT * FROM t", [(1, "a", "x")], columns(id="INTEGER", v="STRING", old="STRING"))
    two.ask(1, "SELECT * FROM t", [(1, "2", "y")], columns(id="INTEGER", v="INTEGER", new="STRING"))
    [job] = two.compare().jobs
    assert job.differences == ("schema",)
    assert [change.name for change in job.schema.added] == ["new"]
    assert [change.name for change in job.schema.removed] == ["old"]
    assert [(change.before.type, change.after.type) for change in job.schema.changed] == [("STRING", "INTEGER")]


@pytest.mark.parametrize(
    ("before", "after", "differences"),
    [
        ({}, {"error": "Quota exceeded", "state": "DONE"}, ("error",)),
        ({}, {"decision": "deny", "rule": "no", "state": "DENIED", "error": None}, ("verdict",)),
        (
            {"error": "Job acme:EU.job_a failed", "id": "job_a"},
            {"error": "Job acme:EU.job_b failed", "id": "job_b"},
            (),
        ),
    ],
)
def test_another_outcome_is_a_difference_and_another_job_id_is_none(two, before, after, differences):
    two.ask(0, "SELECT 1", **before)
    two.ask(1, "SELECT 1", **after)
    assert two.said()[0][3] == differences


def test_where_rows_were_not_recorded_their_number_is_compared(two):
    for side, rows in enumerate((3, 4)):
        two.builder.job(two.ids[side], "DELETE FROM t WHERE x", at=NOON, row_count=rows, statement_type="DELETE")
    assert two.said() == [("changed", 1, 1, ("row_count",))]


def test_rows_that_only_one_client_read_are_neither_the_same_nor_different(two):
    two.ask(0, "SELECT id, v FROM t")
    two.builder.job(two.ids[1], "SELECT id, v FROM t", at=NOON + seconds(3700), row_count=3)
    found = two.compare()
    assert (found.outcome, found.same, found.jobs[0].change) == ("unknown", False, "same")
    assert found.jobs[0].unknown == ("The client of B read no rows, so rows were not compared.",)


def test_a_dry_run_is_not_the_run(two):
    two.ask(0, "SELECT 1", dry_run=True)
    two.ask(1, "SELECT 1")
    assert [change for change, *_ in two.said()] == ["removed", "added"]


def test_jobs_without_a_statement_are_aligned_by_their_tables(two):
    for side in (0, 1):
        for name in ("a", "b"):
            destination = {"project": "acme", "dataset": "shop", "table": name}
            at = NOON + seconds(3600 * side + ord(name))
            two.builder.job(two.ids[side], None, at=at, job_type="LOAD", destination=destination)
    assert [job.change for job in two.compare().jobs] == ["same", "same"]


def test_aligning_thousands_of_equal_statements_is_quick(two):
    for side in (0, 1):
        two.ask(side, "SELECT 1")
    with open_archive(two.builder.write()) as archive:
        job = archive.show(archive.find(two.ids[0])).jobs[0]
    assert len(align([job] * 20_000, [job] * 20_000)) == 20_000


def test_the_json_says_same_and_each_change(two):
    two.both("SELECT id, v FROM t", RESULT, RESULT[:2])
    two.ask(1, "SELECT new", [])
    found = shape.of_sessions(two.compare())
    assert json.loads(json.dumps(found)) == found
    assert (found["outcome"], found["same"]) == ("different", False)
    assert [job["change"] for job in found["jobs"]] == ["changed", "added"]
    assert found["summary"]["differences"] == {"rows": 1}
    assert found["jobs"][0]["rows"]["removed"] == 1
    assert found["jobs"][0]["rows"]["samples"] == [
        {"change": "removed", "a": {"id": 3, "v": "c"}, "b": None, "cells": []}
    ]
    assert found["jobs"][1]["a"] is None


# What is only partly recorded.


def pages(two, side, statement, *parts, total, **changes):
    """A result of ``total`` rows of which the client read ``parts``."""
    two.asked[side] += 1
    at = NOON + seconds(3600 * side + two.asked[side])
    given = {"fingerprint": fingerprint(statement), "row_count": total, "schema": json.dumps({"fields": ID_AND_V})}
    key = two.builder.job(two.ids[side], statement, at=at, **given | changes)
    url = "https://bigquery.googleapis.com/bigquery/v2/projects/acme/queries/x"
    for place, rows in enumerate(parts):
        answer = {"totalRows": str(total), "rows": wire_rows(rows), "pageToken": f"p{place + 1}"}
        two.builder.flow(
            two.ids[side],
            at=at + seconds(place / 10),
            job_key=key,
            url=url + (f"?pageToken=p{place}" if place else ""),
            response_body=answer,
        )


PLAIN, SORTED = "SELECT id, v FROM t", "SELECT id, v FROM t ORDER BY id"
FIRST, OTHER = [(1, "a"), (2, "b")], [(1, "a"), (2, "x")]


@pytest.mark.parametrize(
    ("statement", "before", "after", "outcome", "counted"),
    [
        # Both read the same part.
        (PLAIN, [FIRST], [FIRST], "same", (0, 0, 0)),
        (SORTED, [FIRST], [OTHER], "different", (0, 0, 1)),
        # Only one read it all: what the other lacks says nothing, and what only it has, does.
        (PLAIN, [FIRST], [FIRST, [(3, "c")]], "unknown", (0, 0, 0)),
        (PLAIN, [FIRST, [(3, "c")]], [FIRST], "unknown", (0, 0, 0)),
        (PLAIN, [[(9, "z")]], [FIRST, [(3, "c")]], "different", (0, 1, 0)),
        (PLAIN, [OTHER], [FIRST, [(3, "c")]], "different", (0, 0, 1)),
        # Both read another part of what has no order.
        (PLAIN, [[(1, "a"), (2, "b")]], [[(2, "b"), (3, "c")]], "unknown", (0, 0, 0)),
    ],
)
def test_what_was_not_read_is_no_difference(two, statement, before, after, outcome, counted):  # noqa: PLR0917
    pages(two, 0, statement, *before, total=3)
    pages(two, 1, statement, *after, total=3)
    found = two.compare()
    [job] = found.jobs
    assert found.outcome == outcome
    assert (job.rows.added, job.rows.removed, job.rows.changed) == counted
    told = [*job.remarks, *job.unknown]
    assert any("read" in sentence and "of 3 rows" in sentence for sentence in told)


def test_pages_that_were_asked_for_twice_are_rows_once(two):
    pages(two, 0, PLAIN, FIRST, [(3, "c")], total=3)
    two.ask(1, PLAIN, [(1, "a"), (2, "b"), (3, "c")])
    two.builder.tables["flows"].append({**two.builder.tables["flows"][0], "id": "0193-flow-again", "seq": 999})
    assert two.compare().outcome == "same"


def test_rows_that_retention_took_are_neither_the_same_nor_different(two):
    two.both(PLAIN)
    gone = two.builder.tables["flows"][-1]["response_body"]
    two.builder.tables["bodies"] = [row for row in two.builder.tables["bodies"] if row["hash"] != gone]
    found = two.compare()
    assert found.outcome == "unknown"
    assert found.jobs[0].unknown == ("B's rows are not in the recording, or not any more, so rows were not compared.",)


def test_a_level_that_keeps_no_rows_is_named(two):
    for side in (0, 1):
        key = two.builder.job(two.ids[side], PLAIN, at=NOON + seconds(3600 * side), row_count=3)
        two.builder.flow(two.ids[side], job_key=key, level="metadata", response_body=None)
    found = two.compare()
    assert found.outcome == "unknown"
    assert "level metadata" in found.jobs[0].unknown[0]


def test_clients_that_read_no_rows_are_the_same(two):
    for side in (0, 1):
        two.builder.job(two.ids[side], PLAIN, at=NOON + seconds(3600 * side), row_count=3)
    assert two.compare().outcome == "same"


def test_rows_that_do_not_fit_their_schema_are_not_compared(two):
    two.ask(0, PLAIN)
    two.ask(1, PLAIN, [("one", "a"), (2, "b"), (3, "c")])
    found = two.compare()
    assert found.outcome == "unknown"
    assert "cannot be read" in found.jobs[0].unknown[0]


# Cost, tables, executed statements, parameters.


@pytest.mark.parametrize(
    ("before", "after", "differences"),
    [
        ({"bytes_billed": 10 * 2**20}, {"bytes_billed": 20 * 2**20}, ("cost",)),
        ({"bytes_billed": 20 * 2**20}, {"bytes_billed": 10 * 2**20}, ("cost",)),
        ({"bytes_billed": 100}, {"bytes_billed": 105}, ()),
        ({"bytes_billed": 10 * 2**20}, {"bytes_billed": 0, "cache_hit": True}, ()),
        ({"slot_ms": 10}, {"slot_ms": 100_000, "took": 60}, ()),
        ({"executed_statement": None}, {"executed_statement": "SELECT id, 'x' AS v FROM t"}, ("executed",)),
        ({"executed_statement": "SELECT 1 AS a"}, {"executed_statement": "select 1 as a"}, ()),
        (
            {"referenced_tables": [table_ref("acme.shop.t")]},
            {"referenced_tables": [table_ref("acme.shop.u")]},
            ("tables",),
        ),
        ({"referenced_tables": [table_ref("acme.shop.t")]}, {"referenced_tables": []}, ()),
        ({"destination": table_ref("acme._a.anon1")}, {"destination": table_ref("acme._a.anon2")}, ()),
        ({"destination": table_ref("acme.shop.x")}, {"destination": table_ref("acme.shop.y")}, ("destination",)),
        ({"message": "Ask ann."}, {"message": "Ask bob."}, ("verdict",)),
    ],
)
def test_what_else_can_differ(two, before, after, differences):
    two.ask(0, "SELECT id, v FROM t", **before)
    two.ask(1, "SELECT id, v FROM t", **after)
    assert two.said()[0][3] == differences


def test_parameters_are_part_of_a_query(two):
    for side in (0, 1):
        key = two.builder.job(two.ids[side], "SELECT @n", at=NOON + seconds(3600 * side))
        parameter = {"name": "n", "parameterType": {"type": "INT64"}, "parameterValue": {"value": str(side)}}
        body = {"query": "SELECT @n", "queryParameters": [parameter]}
        two.builder.flow(two.ids[side], job_key=key, door="jobs.query", request_body=body, response_body={})
    [job] = two.compare().jobs
    assert job.differences == ("parameters",)
    assert '"value": "0"' in job.parameters[0]


def test_names_that_bigquery_makes_up_are_no_difference(two):
    for side in (0, 1):
        hidden = f"_{str(side) * 40}.anon{'ab'[side] * 40}"
        statement = f"SELECT * FROM `acme.{hidden}` WHERE job = 'job_of_side_{side}'"
        two.builder.job(
            two.ids[side], "SELECT 1", at=NOON + seconds(3600 * side), id=f"job_of_side_{side}", row_count=0
        )
        two.builder.job(two.ids[side], statement, at=NOON + seconds(3600 * side + 1), row_count=0)
    assert two.compare().same


# What is done without a job.


def listed(two, side, rows, **changes):
    at = NOON + seconds(3600 * side)
    url = "https://bigquery.googleapis.com/bigquery/v2/projects/acme/datasets/shop/tables/t/data"
    answer = {"totalRows": str(len(rows)), "rows": wire_rows(rows)}
    two.builder.flow(
        two.ids[side],
        at=at,
        door="tabledata.list",
        url=url,
        tables=[table_ref("acme.shop.t")],
        **{"response_body": answer} | changes,
    )


def test_rows_that_were_read_without_a_job_are_compared(two):
    listed(two, 0, [(1, "a"), (2, "b")])
    listed(two, 1, [(2, "b")])
    [job] = two.compare().jobs
    assert (job.change, job.differences, job.rows.removed) == ("changed", ("rows",), 1)


def test_a_refusal_without_a_job_is_named(two):
    listed(two, 0, [(1, "a")])
    listed(two, 1, [], decision="deny", rule="hidden", state="refused", status=403, response_body=None)
    [job] = two.compare().jobs
    assert job.differences == ("verdict",)


def test_two_archives_are_compared(two, tmp_path):
    other = Two(Builder(tmp_path / "other.duckdb"))
    two.ask(0, PLAIN)
    other.ask(1, PLAIN, RESULT[:2])
    with open_archive(two.builder.write()) as one, open_archive(other.builder.write()) as two_:
        found = diff(one, one.find(two.ids[0]), two_.find(other.ids[1]), other=two_)
    assert found.jobs[0].rows.removed == 1


def test_columns_that_always_differ_are_left_out_and_may_be_compared(two):
    statement = "SELECT id, GENERATE_UUID() AS v FROM t"
    two.both(statement, [(1, "x")], [(1, "y")])
    with open_archive(two.builder.write()) as archive:
        sides = [archive.find(each) for each in two.ids]
        assert diff(archive, *sides).same
        assert not diff(archive, *sides, Options(functions=())).same
        assert diff(archive, *sides, Options(Ways(ignore=("v",)), functions=())).same
        assert diff(archive, *sides, Options(Ways(ignore=("GENERATE_UUID()",)), functions=())).same
