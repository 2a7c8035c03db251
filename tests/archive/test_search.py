"""Searching in the rows that clients got."""

import json

import pytest

from hoop_mitm.archive import Query, open_archive, search
from tests.archive.building import NOON, columns, seconds, table_ref, wire_rows
from tests.archive.test_recorded import Recorded, inserted_and_paged, one_answer, recorded, session, streamed
from tests.archive.test_results_storage import ROWS, SESSION, Job, answers

__all__ = ["recorded"]

SCHEMA = columns(
    id="INTEGER", name="STRING", price="NUMERIC", at="TIMESTAMP", tags="STRING*", extra="JSON", ok="BOOLEAN"
)
FIRST = (7, "Zoë <b>", "12.50", "1767225600000000", ["red", "Green"], '{"k": "Deep"}', "true")
SECOND = (8, None, None, None, [], None, None)


@pytest.fixture
def shop(builder):
    session = builder.session()
    builder.asked(session, "SELECT 1", SCHEMA, [FIRST, SECOND], id="job_shop")
    return builder


def look(builder, text, **filters):
    with open_archive(builder.write()) as archive:
        return archive.search(Query(text, rows=True, **filters)).hits


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("zoë", "name"),
        ("<B>", "name"),
        ("7", "id"),
        ("12.5", "price"),
        ("2026-01-01T00:00:00", "at"),
        ("green", "tags"),
        ("deep", "extra"),
        ("TRUE", "ok"),
    ],
)
def test_a_value_is_found_as_people_read_it(shop, text, column):
    [hit] = look(shop, text)
    assert (hit.job.id, hit.matched, hit.rows.columns, hit.rows.count) == ("job_shop", ("rows",), (column,), 1)
    assert hit.rows.samples[0]["id"] == 7


@pytest.mark.parametrize("text", ["none", "null", "redgreen", "nobody"])
def test_what_is_in_no_row_is_not_found(shop, text):
    assert look(shop, text) == ()


def test_rows_are_not_looked_into_unasked(shop):
    with open_archive(shop.write()) as archive:
        assert archive.search(Query("zoë")).hits == ()


def test_a_hit_of_both_tells_both(shop):
    [hit] = look(shop, "1")
    assert hit.matched == ("statement", "rows")


def test_filters_hold_for_rows_too(shop):
    assert look(shop, "zoë", principal="bob") == ()
    assert len(look(shop, "zoë", principal="alice")) == 1


def test_few_samples_are_kept_of_many_rows(builder):
    session = builder.session()
    builder.asked(session, "SELECT 1", columns(name="STRING"), [(f"x{number}",) for number in range(100)])
    [hit] = look(builder, "X")
    assert (hit.rows.count, hit.rows.samples) == (100, ({"name": "x0"}, {"name": "x1"}, {"name": "x2"}))


def test_rows_that_came_without_a_job_are_looked_into_once(builder):
    job = Job(builder)
    job.key = None
    job.created()
    job.stream(f"{SESSION}/streams/a", answers(ROWS))
    page = {"rows": wire_rows([("bee",)]), "totalRows": "1"}
    builder.flow(
        job.session, door="tabledata.list", tables=[table_ref("acme.shop.orders")], response_body=page, at=NOON
    )
    [created] = look(builder, "b", type="storage.CreateReadSession")
    assert (created.rows.columns, created.rows.count) == (("tag",), 1)
    assert [hit.flow.door for hit in look(builder, "be")] == ["tabledata.list"]


def test_what_cannot_be_read_is_passed_over(builder):
    session = builder.session()
    builder.flow(session, door="tabledata.list", response_body=b"\x00\xff no JSON")
    builder.flow(session, door="storage.CreateReadSession", response_body=b"\x01 no message", job_key=None)
    builder.flow(session, door="storage.ReadRows", request_body=b"\x01", response_body=b"\x01", job_key=None)
    builder.asked(session, "SELECT 1", columns(name="STRING"), [("needle",)])
    assert len(look(builder, "needle")) == 1


def test_pages_of_a_search_in_rows_are_the_whole(builder, monkeypatch):
    """Also where its patience ends between two results."""
    session = builder.session()
    for number in range(7):
        name = "needle" if number % 3 == 0 else "hay"
        builder.asked(
            session, "SELECT 1", columns(name="STRING"), [(name,)], at=NOON + seconds(number), id=f"job_{number}"
        )
    monkeypatch.setattr(search, "_PATIENCE", 0)
    monkeypatch.setattr(search, "_AT_ONCE", 1)
    monkeypatch.setattr(search, "_MOST_AT_ONCE", 1)
    found, pages, place = [], 0, None
    with open_archive(builder.write()) as archive:
        while pages == 0 or place is not None:
            page = archive.search(Query("needle", rows=True), limit=2, before=place)
            found += [hit.job.id for hit in page.hits]
            place, pages = page.next, pages + 1
    assert found == ["job_6", "job_3", "job_0"]
    assert pages >= 7


def test_what_a_recorder_wrote_is_found_in_statements_and_rows_by_both_ways(recorded: Recorded):
    alice, bob = session(name="alices"), session(name="bobs")
    recorded.write(alice, one_answer(alice, "job_rest"))
    insert, polled, *_ = inserted_and_paged(bob)
    recorded.write(bob, insert, polled, *streamed(bob))
    recorded.stop()
    with open_archive(recorded.path) as archive:
        by_text = archive.search(Query("from shop.orders")).hits
        by_rows = archive.search(Query("d", rows=True, type="query")).hits
    assert [hit.session.name for hit in by_text] == ["bobs", "alices"]
    assert [(hit.job.id, "rows" in hit.matched) for hit in by_rows] == [("job_2", True), ("job_rest", True)]
    assert json.loads(json.dumps(by_rows[0].rows.samples)) == [{"id": 4, "tag": "d"}]
