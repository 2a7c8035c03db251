"""What the journal has taken is there, in order, and it starts anew by itself when it has to."""

import resource
import shutil
from pathlib import Path

import pytest

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.errors import RecordingError
from hoop_mitm.recording import Owner
from hoop_mitm.recording.journal import Body, Entry, Journal, claims
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.owners import Claim
from hoop_mitm.recording.pressing import Part
from hoop_mitm.recording.unfolded import Unfolded

JOB = Claim(Resource("job", "acme:1"), Owner("https://i#alice", "acme"), 1.0)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make()
    return layout


def event(number: int, **bodies: Body) -> Entry:
    return Entry("event", b'{"id": "e", "number": %d}' % number, bodies)


def numbers(layout: Layout) -> list[int]:
    return [row.note["number"] for row in Unfolded(layout).rows(0, [], most=10_000, most_bytes=2**30)]


def test_records_are_read_in_the_order_in_which_they_were_taken(layout: Layout) -> None:
    journal = Journal(layout)
    journal.append([event(1), event(2)])
    journal.append([event(3)])
    assert numbers(layout) == [1, 2, 3]
    assert [row.seq for row in Unfolded(layout).rows(1, [], most=10, most_bytes=2**30)] == [2, 3]


def test_numbers_go_on_in_the_next_process_and_are_never_used_again(layout: Layout) -> None:
    for number in range(3):
        journal = Journal(layout)
        journal.open()
        journal.append([event(number)])
        journal.close()
    assert [row.seq for row in Unfolded(layout).rows(0, [], most=10, most_bytes=2**30)] == [1, 2, 3]
    assert [first for first, _ in layout.segments()] == [1, 2, 3]


def test_a_body_is_kept_once_in_a_segment(layout: Layout) -> None:
    journal = Journal(layout)
    body = Body(b"h" * 32, (Part(3, b"abc"), Part(1, b"d")))
    journal.append([event(1, request=body, response=body)])
    journal.append([event(2, response=body)])
    rows = Unfolded(layout).rows(0, [], most=10, most_bytes=2**30)
    assert [row.parts for row in rows] == [{"request": [1, 2], "response": [1, 2]}, {"response": [1, 2]}]


def test_a_full_segment_is_left_for_a_new_one(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.journal.SEGMENT", 100_000)
    journal = Journal(layout)
    for number in range(40):
        journal.append([event(number, request=Body(bytes([number]) * 32, (Part(9, bytes(20_000)),)))])
    assert len(layout.segments()) > 5
    assert numbers(layout) == list(range(40))


def test_a_removed_directory_is_noticed_and_made_again(layout: Layout) -> None:
    journal = Journal(layout)
    journal.append([event(1)])
    shutil.rmtree(layout.directory)
    journal.append([event(2)])
    assert numbers(layout) == [2]
    assert [row.seq for row in Unfolded(layout).rows(0, [], most=10, most_bytes=2**30)] == [2]


def test_what_cannot_be_written_is_refused_in_plain_words_and_then_taken_again(layout: Layout) -> None:
    journal = Journal(layout)
    journal.append([event(1)])
    shutil.rmtree(layout.journal)
    layout.journal.write_text("a file is in the way")
    for _ in range(2):
        with pytest.raises(RecordingError, match=r"Requests are refused until|cannot hold recordings"):
            journal.append([event(2)])
    layout.journal.unlink()
    journal.append([event(3)])
    assert numbers(layout) == [3]


def test_a_disk_that_stays_full_is_not_littered_with_empty_segments(layout: Layout) -> None:
    journal = Journal(layout)
    journal.append([event(1)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        for _ in range(5):
            with pytest.raises(RecordingError):
                journal.append([event(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(layout.segments()) == 1
    journal.append([event(3)])
    assert numbers(layout) == [1, 3]


def test_a_segment_that_was_only_just_begun_is_no_obstacle(layout: Layout) -> None:
    layout.segment(5).touch()
    journal = Journal(layout)
    journal.append([event(1)])
    assert numbers(layout) == [1]
    assert claims(layout) == []
    Unfolded(layout).trim(6, [])
    assert [first for first, _ in layout.segments()] == [6]


def test_a_segment_whose_end_is_lost_is_passed_over_at_a_distance(layout: Layout) -> None:
    journal = Journal(layout)
    journal.append([event(1)])
    journal.close()
    for path in layout.journal.glob("0*.sqlite*"):
        path.write_bytes(b"not a database" * 100)
    assert Journal(layout).open() > 10**9


def test_claims_are_committed_with_their_records(layout: Layout) -> None:
    journal = Journal(layout)
    journal.append([event(1)], [JOB])
    journal.close()
    assert claims(layout) == [JOB]


def test_segments_are_for_this_user_only(layout: Layout) -> None:
    Journal(layout).append([event(1)])
    assert {path.stat().st_mode & 0o077 for path in layout.journal.iterdir()} == {0}
