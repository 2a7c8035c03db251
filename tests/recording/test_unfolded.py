"""The journal is read in portions, gives up what is folded, and sets aside what is damaged."""

from pathlib import Path

import pytest

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.recording import Owner
from hoop_mitm.recording.journal import Body, Entry, Journal, claims
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.owners import Claim
from hoop_mitm.recording.pressing import Part
from hoop_mitm.recording.unfolded import Unfolded
from tests.recording.folding import keys, write_over


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three segments of three records each, numbered from 1; the first of all says what chain this is."""
    layout = Layout(tmp_path)
    layout.make()
    for segment in range(3):
        journal = Journal(layout, keys())
        journal.open()
        owner = Owner("https://i#alice", "acme")
        journal.append(
            [Entry("event", {"id": str(n)}) for n in range(3 if segment else 2)],
            [Claim(Resource("job", f"acme:{segment}"), owner, 1000.0 + segment)],
        )
        journal.close()
    return layout


def seqs(unfolded: Unfolded, after: int, also: list[int] | None = None, most: int = 100) -> list[int]:
    return [row.seq for row in unfolded.rows(after, also or [], most=most, most_bytes=2**30)]


def test_rows_across_segments(layout: Layout) -> None:
    unfolded = Unfolded(layout)
    assert seqs(unfolded, 0) == list(range(1, 10))
    assert seqs(unfolded, 4) == [5, 6, 7, 8, 9]
    assert seqs(unfolded, 4, most=2) == [5, 6]
    assert seqs(unfolded, 7, also=[6, 2]) == [2, 6, 8, 9]
    assert seqs(unfolded, 9) == []
    assert unfolded.last() == 9


@pytest.mark.parametrize(
    ("folded_to", "held", "left"),
    [(2, [], [1, 4, 7]), (3, [], [4, 7]), (8, [], [7]), (9, [], [7]), (9, [5], [4, 7]), (9, [1], [1, 4, 7])],
)
def test_segments_go_when_all_of_them_is_folded_but_never_the_newest(
    layout: Layout, folded_to: int, held: list[int], left: list[int]
) -> None:
    unfolded = Unfolded(layout)
    seqs(unfolded, 0)
    unfolded.trim(layout.segments(), folded_to, held)
    assert [first for first, _ in layout.segments()] == left
    assert not [
        path for path in layout.journal.iterdir() if path.name.startswith("0") and int(path.name[:16]) not in left
    ]


def test_claims_outlive_their_segments(layout: Layout) -> None:
    before = claims(layout)
    Unfolded(layout).trim(layout.segments(), 9, [])
    assert claims(layout) == before
    assert len(before) == 3


def test_a_damaged_segment_is_set_aside_and_the_others_are_read(layout: Layout) -> None:
    second = layout.segments()[1][1]
    for path in layout.journal.glob(f"{second.name}*"):
        path.write_bytes(b"not a database" * 100)
    unfolded = Unfolded(layout)
    assert seqs(unfolded, 0) == [1, 2, 3, 7, 8, 9]
    [(aside, _)] = unfolded.damaged
    assert aside.exists()
    assert not second.exists()


def test_a_segment_that_was_only_just_begun_holds_nothing(layout: Layout) -> None:
    layout.segment(10).touch()
    assert seqs(Unfolded(layout), 9) == []
    assert Unfolded(layout).last() == 9


def test_a_record_that_is_no_json_does_not_hide_the_others(layout: Layout) -> None:
    journal = Journal(layout, keys())
    journal.append([Entry("flow", {}), Entry("event", {"id": "e"})])
    write_over(layout.segments()[-1][1], 10, data=b"{broken")
    rows = Unfolded(layout).rows(9, [], most=10, most_bytes=2**30)
    assert [(row.seq, row.kind) for row in rows] == [(10, "unreadable"), (11, "event")]
    assert rows[0].sealed is not None
    assert rows[0].sealed.data == b"{broken"


def test_a_body_is_read_whole_unless_it_is_too_large(layout: Layout) -> None:
    import zstandard

    journal = Journal(layout, keys())
    parts = tuple(Part(4, zstandard.compress(piece)) for piece in (b"SELE", b"CT 1"))
    sides = {"request": {"body": {"hash": "00", "size": 8}}, "response": {"body": None}}
    journal.append([Entry("flow", {"id": "f", "state": "open", **sides}, {"request": Body(b"h", b"s", b"\0", parts)})])
    unfolded = Unfolded(layout)
    [row] = unfolded.rows(9, [], most=1, most_bytes=2**30)
    assert unfolded.body(row, "request", 100) == b"SELECT 1"
    assert unfolded.body(row, "request", 7) is None
    assert unfolded.body(row, "response", 100) is None
