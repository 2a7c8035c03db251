"""What the journal has taken is there, in order, and it starts anew by itself when it has to."""

import resource
import shutil
from pathlib import Path

import pytest

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.errors import RecordingError
from hoop_mitm.evidence import BodyCommitment, new_salt
from hoop_mitm.recording import Owner
from hoop_mitm.recording.journal import Body, Entry, Journal, claims
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.owners import Claim
from hoop_mitm.recording.pressing import Part
from hoop_mitm.recording.unfolded import Row, Unfolded
from tests.recording.folding import keys

JOB = Claim(Resource("job", "acme:1"), Owner("https://i#alice", "acme"), 1.0)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make()
    return layout


def event(number: int) -> Entry:
    return Entry("event", {"id": "e", "number": number})


def body(data: bytes, *parts: Part) -> Body:
    """A body as the press would name it, each time with another salt."""
    salt = new_salt()
    commitment = BodyCommitment(salt)
    commitment.update(data)
    return Body(data, salt, commitment.digest(), parts or (Part(len(data), data),))


def flow(number: int, **bodies: Body) -> Entry:
    sides = {
        side: {"body": {"hash": bodies[side].commitment.hex(), "size": 1} if side in bodies else None}
        for side in ("request", "response")
    }
    return Entry("flow", {"id": str(number), "number": number, "state": "open", **sides}, bodies)


def rows(layout: Layout, after: int = 0) -> list[Row]:
    return Unfolded(layout).rows(after, [], most=10_000, most_bytes=2**30)


def numbers(layout: Layout) -> list[int]:
    return [row.note["number"] for row in rows(layout) if "number" in row.note]


def test_records_are_read_in_the_order_in_which_they_were_taken(layout: Layout) -> None:
    journal = Journal(layout, keys())
    journal.append([event(1), event(2)])
    journal.append([event(3)])
    assert numbers(layout) == [1, 2, 3]
    assert [(row.seq, row.kind) for row in rows(layout, 1)] == [(2, "event"), (3, "event"), (4, "event")]


def test_numbers_go_on_in_the_next_process_and_are_never_used_again(layout: Layout) -> None:
    for number in range(3):
        journal = Journal(layout, keys())
        journal.open()
        journal.append([event(number)])
        journal.close()
    assert [row.seq for row in rows(layout)] == [1, 2, 3, 4]
    assert [first for first, _ in layout.segments()] == [1, 3, 4]


def test_a_body_is_kept_once_in_a_segment(layout: Layout) -> None:
    journal = Journal(layout, keys())

    def pressed() -> Body:
        return body(b"abcd", Part(3, b"abc"), Part(1, b"d"))

    journal.append([flow(1, request=pressed(), response=pressed())])
    journal.append([flow(2, response=pressed())])
    one, two = rows(layout, 1)
    assert [place["parts"] for row in (one, two) for place in row.bodies.values()] == [[1, 2]] * 3
    # It has one name then, and one salt.
    assert (
        len({row.note["response"]["body"]["hash"] for row in (one, two)} | {one.note["request"]["body"]["hash"]}) == 1
    )
    assert len({place["salt"] for row in (one, two) for place in row.bodies.values()}) == 1


def test_a_body_has_another_name_in_the_next_segment(layout: Layout) -> None:
    journal = Journal(layout, keys())
    for number in range(2):
        journal.append([flow(number, request=body(b"abcd"))])
        journal.open()
    one, two = rows(layout, 1)
    assert one.note["request"]["body"]["hash"] != two.note["request"]["body"]["hash"]


def test_a_full_segment_is_left_for_a_new_one(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hoop_mitm.recording.journal.SEGMENT", 100_000)
    journal = Journal(layout, keys())
    for number in range(40):
        journal.append([flow(number, request=body(bytes([number]), Part(9, bytes(20_000))))])
    assert len(layout.segments()) > 5
    assert numbers(layout) == list(range(40))


def test_a_removed_directory_is_noticed_and_made_again(layout: Layout) -> None:
    journal = Journal(layout, keys())
    journal.append([event(1)])
    shutil.rmtree(layout.directory)
    journal.append([event(2)])
    assert numbers(layout) == [2]
    assert [row.seq for row in rows(layout)] == [3]


def test_what_cannot_be_written_is_refused_in_plain_words_and_then_taken_again(layout: Layout) -> None:
    journal = Journal(layout, keys())
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
    journal = Journal(layout, keys())
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
    journal = Journal(layout, keys())
    journal.append([event(1)])
    assert numbers(layout) == [1]
    assert claims(layout) == []
    Unfolded(layout).trim(layout.segments(), 6, [])
    assert [first for first, _ in layout.segments()] == [6]


def test_a_segment_whose_end_is_lost_is_passed_over_at_a_distance(layout: Layout) -> None:
    journal = Journal(layout, keys())
    journal.append([event(1)])
    journal.close()
    for path in layout.journal.glob("0*.sqlite*"):
        path.write_bytes(b"not a database" * 100)
    assert Journal(layout, keys()).open() > 10**9


def test_claims_are_committed_with_their_records(layout: Layout) -> None:
    journal = Journal(layout, keys())
    journal.append([event(1)], [JOB])
    journal.close()
    assert claims(layout) == [JOB]


def test_segments_are_for_this_user_only(layout: Layout) -> None:
    Journal(layout, keys()).append([event(1)])
    assert {path.stat().st_mode & 0o077 for path in layout.journal.iterdir()} == {0}
