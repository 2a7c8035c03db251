"""Masks of fields: what may be left out of an answer, and what not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoop_mitm.bigquery import masks
from hoop_mitm.devkit import masks as devkit
from hoop_mitm.errors import Denied


@pytest.mark.parametrize(
    ("door", "mask"),
    [
        # As clients send them.
        ("jobs.getQueryResults", "jobReference,totalRows,pageToken,rows"),
        ("jobs.getQueryResults", "rows,pageToken,totalRows"),
        ("jobs.get", "status"),
        ("jobs.list", "jobs(jobReference),nextPageToken"),
        ("tables.get", "schema"),
        # What starts a job says which, and what it cost.
        ("jobs.insert", "jobReference,status"),
        ("jobs.insert", "status/state,jobReference"),
        ("jobs.query", "jobReference,totalBytesBilled,rows"),
        ("jobs.query", "*"),
    ],
)
def test_a_mask_that_leaves_what_is_needed(door, mask):
    masks.check(door, mask, dry_run=False)


@pytest.mark.parametrize(
    ("door", "mask", "missing"),
    [
        ("jobs.insert", "status", "jobReference"),
        ("jobs.insert", "jobReference/jobId", "jobReference"),
        ("jobs.insert", "jobReference(jobId)", "jobReference"),
        ("jobs.insert", "status(jobReference,x)", "jobReference"),
        ("jobs.insert", "configuration/jobReference", "jobReference"),
        ("jobs.insert", "kind(*)", "jobReference"),
        ("jobs.upload", "status", "jobReference"),
        ("jobs.insert", "*,jobReference/jobId", "jobReference"),
        ("jobs.insert", "jobReference,jobReference/jobId", "jobReference"),
        ("jobs.insert", "jobReference,*/jobId", "jobReference"),
        ("jobs.insert", "(jobReference", "jobReference"),
        ("jobs.insert", "jobreference", "jobReference"),
        ("jobs.query", "rows", "jobReference, totalBytesBilled"),
        ("jobs.query", "jobReference,rows", "totalBytesBilled"),
        ("jobs.query", "rows(f,jobReference),totalBytesBilled", "jobReference"),
    ],
)
def test_a_mask_that_hides_whose_job_it_is_or_what_it_cost(door, mask, missing):
    with pytest.raises(Denied, match=f"leaves out {missing},"):
        masks.check(door, mask, dry_run=False)


NAMES = st.sampled_from(["jobReference", "totalBytesBilled", "jobId", "rows", "*", "", "x"])
MARKS = st.sampled_from([",", ",", "/", "(", ")", "),", ""])


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(NAMES, MARKS), min_size=1, max_size=8))
def test_whatever_passes_leaves_what_is_needed(pieces):
    """As a reader that knows nothing of the check applies it."""
    mask = "".join(name + mark for name, mark in pieces)
    answer = {"jobReference": {"jobId": "j", "projectId": "p"}, "totalBytesBilled": "1", "rows": [{"x": 1}]}
    try:
        masks.check("jobs.query", mask, dry_run=False)
        left = devkit.apply(devkit.parse(mask), answer)
    except (Denied, ValueError):
        return
    assert {name: left[name] for name in ("jobReference", "totalBytesBilled")} == {
        name: answer[name] for name in ("jobReference", "totalBytesBilled")
    }


def test_an_estimate_makes_no_job():
    masks.check("jobs.insert", "statistics", dry_run=True)


@pytest.mark.parametrize(
    ("parameters", "headers", "expected"),
    [
        ({}, {}, None),
        ({"fields": ""}, {}, None),
        ({"fields": "rows"}, {}, "rows"),
        ({}, {"x-goog-fieldmask": "rows"}, "rows"),
    ],
)
def test_where_a_mask_stands(parameters, headers, expected):
    assert masks.of(parameters, headers) == expected


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [
        ({"fields": "rows"}, {"x-goog-fieldmask": "jobReference"}),
        ({"fields": "jobReference;rows"}, {}),
        ({}, {"x-goog-fieldmask": "jobReference, rows"}),
    ],
)
def test_a_mask_that_can_be_read_in_two_ways(parameters, headers):
    with pytest.raises(Denied, match="mask"):
        masks.of(parameters, headers)
