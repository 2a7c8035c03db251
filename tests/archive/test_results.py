import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from hoop_mitm.archive import open_archive
from tests.archive.building import HOST, NOON, columns, seconds, table_ref, wire_rows

URL = f"https://{HOST}/bigquery/v2/projects/acme/queries/job"
ID = columns(id="INTEGER")


class Job:
    """A job in an archive, and the pages that a client got of it."""

    def __init__(self, builder, schema=ID, **changes):
        self.builder = builder
        self.session = builder.session()
        changes.setdefault("schema", json.dumps({"fields": schema}) if schema else None)
        self.key = builder.job(self.session, "SELECT id FROM t", **changes)
        self.pages = 0

    def page(self, rows, *, query="", token=None, total=None, door="jobs.getQueryResults", schema=None, **changes):
        answer = {"rows": wire_rows([row if isinstance(row, tuple) else (row,) for row in rows])} if rows else {}
        answer |= {"pageToken": token} if token else {}
        answer |= {"totalRows": str(total)} if total is not None else {}
        answer |= {"schema": {"fields": schema}} if schema else {}
        self.pages += 1
        given = {"url": f"{URL}?{query}", "response_body": answer} | changes
        self.builder.flow(self.session, at=NOON + seconds(self.pages), job_key=self.key, door=door, **given)

    def read(self, limit=None):
        with open_archive(self.builder.write()) as archive:
            return archive.rows(archive.show(archive.find(self.session)).jobs[0], limit)


def ids(result):
    return [row["id"] for row in result.rows()]


def test_a_result_in_one_answer(builder):
    job = Job(builder)
    job.page([1, 2, 3], total=3, door="jobs.query")
    result = job.read()
    assert (ids(result), result.total, result.complete, result.source) == ([1, 2, 3], 3, True, "rest")


def test_pages_are_put_together_by_their_tokens_whatever_else_was_asked(builder):
    job = Job(builder)
    job.page([], query="maxResults=0", token="start", total=5)
    job.page([1, 2], query="pageToken=start", token="two", total=5)
    job.page([3, 4], query="pageToken=two", token="four", total=5)
    job.page([3, 4], query="pageToken=two", token="four", total=5)  # retried
    job.page([1], query="maxResults=1", token="one", total=5)  # begun again with another page size
    job.page([2], query="maxResults=1&pageToken=one", token="x", total=5)
    job.page([5], query="pageToken=four", total=5)
    result = job.read()
    assert (ids(result), result.complete) == ([1, 2, 3, 4, 5], True)


def test_pages_may_be_asked_for_by_their_place(builder):
    job = Job(builder)
    job.page([3, 4], query="startIndex=2", total=4)
    job.page([1, 2], query="startIndex=0", total=4)
    assert ids(job.read()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("queries", "complete"), [(("startIndex=0", "startIndex=5"), False), (("startIndex=0", "startIndex=2"), True)]
)
def test_a_gap_makes_a_result_incomplete(builder, queries, complete):
    job = Job(builder)
    for query, rows in zip(queries, ([1, 2], [3, 4]), strict=True):
        job.page(rows, query=query)
    result = job.read()
    assert (ids(result), result.complete) == ([1, 2, 3, 4], complete)


def test_what_the_client_did_not_fetch_is_not_there(builder):
    job = Job(builder)
    job.page([1, 2], token="more", total=100)
    result = job.read()
    assert (ids(result), result.total, result.complete) == ([1, 2], 100, False)


def test_a_limit_cuts_the_rows_and_not_what_is_known_of_the_whole(builder):
    job = Job(builder)
    job.page([1, 2, 3], token="a", total=5)
    job.page([4, 5], query="pageToken=a", total=5)
    result = job.read(limit=4)
    assert (ids(result), result.total, result.complete) == ([1, 2, 3, 4], 5, True)


def test_an_empty_result_has_columns_and_no_rows(builder):
    job = Job(builder)
    job.page([], total=0)
    result = job.read()
    assert ([column.name for column in result.columns], result.rows()) == (["id"], [])


@pytest.mark.parametrize(
    "page",
    [
        {"rows": []},
        {"rows": [1], "status": 403},
        {"rows": [1], "state": "refused"},
        {"rows": [1], "door": "jobs.get"},
        {"rows": [1], "response_body": None},
        {"rows": [1], "response_body": b'{"rows": [{"f": [{"v"'},
        {"rows": [1], "query": "selectedFields=id"},
    ],
)
def test_what_holds_no_whole_rows_is_no_result(builder, page):
    job = Job(builder)
    job.page(page.pop("rows"), **page)
    assert job.read() is None


def test_the_schema_may_come_with_another_page(builder):
    job = Job(builder, schema=None)
    job.page([], schema=ID, total=1)
    job.page([1], total=1)
    assert ids(job.read()) == [1]


def test_without_any_schema_the_values_are_shown_as_they_came(builder):
    job = Job(builder, schema=None)
    job.page([(1, None)], total=1)
    assert job.read().rows() == [{"f0_": "1", "f1_": None}]


def test_values_that_do_not_fit_their_column_are_shown_as_they_came(builder):
    job = Job(builder, schema=columns(a="INTEGER", b="DATE"))
    job.page([("1", "no date"), ("2", None)], total=2)
    result = job.read()
    assert result.rows() == [{"a": "1", "b": "no date"}, {"a": "2", "b": None}]
    assert {column.type for column in result.columns} == {"STRING"}


TYPES = [
    ("INTEGER", "5", 5, pa.int64()),
    ("FLOAT", "1.5", 1.5, pa.float64()),
    ("NUMERIC", "1.25", Decimal("1.25"), pa.decimal128(38, 9)),
    ("BIGNUMERIC", "1e-38", Decimal("1e-38"), pa.decimal256(76, 38)),
    ("BOOLEAN", "true", True, pa.bool_()),
    ("STRING", "ä", "ä", pa.string()),
    ("BYTES", "/w==", b"\xff", pa.binary()),
    ("DATE", "2026-01-02", dt.date(2026, 1, 2), pa.date32()),
    ("TIME", "01:02:03", dt.time(1, 2, 3), pa.time64("us")),
    ("DATETIME", "2026-01-02T03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5), pa.timestamp("us")),  # noqa: DTZ001 - a DATETIME has no zone
    ("TIMESTAMP", "1767312000000000", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), pa.timestamp("us", "UTC")),
    ("GEOGRAPHY", "POINT(1 2)", "POINT(1 2)", pa.string()),
    ("JSON", '{"b": 1, "a": [1.5]}', '{"a":[1.5],"b":1}', pa.string()),
    (
        "RANGE",
        "[2026-01-02, UNBOUNDED)",
        {"start": dt.date(2026, 1, 2), "end": None},
        pa.struct([("start", pa.date32()), ("end", pa.date32())]),
    ),
]


@pytest.mark.parametrize(("kind", "wire", "value", "type_"), TYPES)
def test_each_type_is_read_as_the_storage_api_gives_it(builder, kind, wire, value, type_):
    job = Job(builder, schema=columns(single=kind, many=f"{kind}*"))
    job.page([(wire, [wire, wire]), (None, [])], total=2)
    result = job.read()
    assert result.rows() == [{"single": value, "many": [value, value]}, {"single": None, "many": []}]
    assert result.table.schema.types == [type_, pa.list_(pa.field("item", type_))]


def test_records_nest(builder):
    inner = [*columns(sku="STRING", price="NUMERIC"), {"name": "meta", "type": "JSON"}]
    job = Job(builder, schema=[{"name": "items", "type": "RECORD", "mode": "REPEATED", "fields": inner}])
    job.page([([{"f": [{"v": "a"}, {"v": "1.5"}, {"v": '{"x":1}'}]}],)], total=1)
    assert job.read().rows() == [{"items": [{"sku": "a", "price": Decimal("1.5"), "meta": '{"x":1}'}]}]


def listed(builder, door="tabledata.list", query="", rows=(("1", "a"),), **changes):
    session = builder.session()
    tables = [table_ref("acme.shop.orders")]
    schema = {"schema": {"fields": columns(id="INTEGER", tag="STRING")}}
    builder.flow(
        session,
        at=NOON - seconds(9),
        door="tables.get",
        response_body={"schema": {}},
        tables=[table_ref("acme.shop.x")],
    )
    builder.flow(session, at=NOON - seconds(5), door="tables.get", response_body=schema, tables=tables)
    answer = {"rows": wire_rows(rows), "totalRows": "9", "pageToken": "x"}
    given = {"door": door, "url": f"{URL}?pageToken=z&{query}", "response_body": answer, "tables": tables}
    flow = builder.flow(session, **given | changes)
    with open_archive(builder.write()) as archive:
        detail = archive.show(archive.find(session))
        return archive.rows_of_flow(detail.flow(flow))


def test_rows_of_a_table_that_was_read_without_a_job_take_their_schema_from_what_was_asked_before(builder):
    result = listed(builder)
    assert result.rows() == [{"id": 1, "tag": "a"}]
    assert (result.total, result.complete) == (9, False)


def test_chosen_columns_are_named_rightly(builder):
    assert listed(builder, query="selectedFields=tag", rows=[("a",)]).rows() == [{"tag": "a"}]


def test_an_exchange_without_rows_has_none(builder):
    assert listed(builder, door="tables.list") is None
