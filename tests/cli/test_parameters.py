from datetime import UTC, datetime, timedelta

import click
import pytest

from hoop_mitm.cli.parameters import Size, When


def when(text, *, end=False):
    return When(end=end).convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2026-11-22T14:00Z", False, datetime(2026, 11, 22, 14, tzinfo=UTC)),
        ("2026-11-22T14:00:01.5+02:00", False, datetime(2026, 11, 22, 12, 0, 1, 500_000, tzinfo=UTC)),
        ("2026-11-22 14:00", False, datetime(2026, 11, 22, 14).astimezone()),
        ("2026-11-22", False, datetime(2026, 11, 22).astimezone()),
        ("2026-11-22", True, datetime(2026, 11, 23).astimezone()),
        ("2026-11-22T00:00", True, datetime(2026, 11, 22).astimezone()),
    ],
)
def test_a_time_is_read_in_the_readers_zone_and_a_day_with_its_end_where_asked(text, end, expected):
    assert when(text, end=end) == expected
    assert when(text, end=end).tzinfo is not None


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12 h", timedelta(hours=12)),
        ("7d", timedelta(7)),
        ("2w", timedelta(14)),
    ],
)
def test_so_long_ago(text, ago):
    before = datetime.now(UTC)
    meant = when(text)
    assert before <= meant + ago <= datetime.now(UTC)


def test_today_begins_where_yesterday_ends():
    day = None
    while day != (now := datetime.now().astimezone()).date():  # At midnight, once more.
        day = now.date()
        times = when("yesterday", end=True), when("today"), when("today", end=True)
    yesterday_ended, begins, ends = times
    assert yesterday_ended == begins <= now < ends


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "7 days", "-1d", "now", "9999-12-31", "999999w"])
def test_what_is_no_time_is_said_with_what_would_be(text):
    with pytest.raises(click.BadParameter, match=r"is no time\. Write 2026-11-22"):
        when(text, end=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1500000", 1_500_000),
        ("500MB", 500_000_000),
        ("10GiB", 10 * 2**30),
        ("10G", 10 * 2**30),
        ("1.5 tib", 3 * 2**39),
        ("12b", 12),
        (7, 7),
    ],
)
def test_a_size_in_bytes_or_units(text, expected):
    assert Size().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "GiB", "99999999999999999999TiB", "9223372036854775808"])
def test_what_is_too_large_for_anything_is_said(text):
    with pytest.raises(click.BadParameter, match="is larger than anything there is"):
        Size().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "x", "10 apples", "-1", "1e9", "GiB"])
def test_what_is_no_size_is_said_with_what_would_be(text):
    with pytest.raises(click.BadParameter, match=r"is no size\. Write bytes"):
        Size().convert(text, None, None)
