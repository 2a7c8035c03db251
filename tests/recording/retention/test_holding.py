"""Of a session on hold nothing goes, whatever its age; who held it, and who let it go, is signed."""

import json
import os
import shutil
from datetime import datetime, timedelta

import pytest

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.errors import HeldError, NotInArchive, RecordingError
from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.retention import erase, holds, look, place_hold, release_hold, trace
from tests.recording.building import BASE, GET, ask
from tests.recording.retention.recorded import Recorded, cutoff, cutoffs
from tests.recording.retention.searching import finds

KEPT = cutoffs(acme=cutoff(10, 10, 10))


def test_nothing_of_a_held_session_goes_until_it_is_released(tmp_path):
    recorded = Recorded(tmp_path)
    held, other = recorded.job(age=50, session="held"), recorded.job(age=50, session="other")
    session = recorded.sessions["held"].id
    recorded.fold()
    place_hold(recorded.layout, recorded.keys, session, "case 7", "carol")
    everything = ask(tmp_path, "FROM flows WHERE session_id = ? ORDER BY id", session)

    planned = look(recorded.layout, KEPT)
    recorded.apply(KEPT)

    assert {share.what: (share.flows, share.held) for share in planned.shares} == {"metadata": (3, 3)}
    assert finds(tmp_path, other.body) | finds(tmp_path, other.statement) == set()
    assert ask(tmp_path, "FROM flows WHERE session_id = ? ORDER BY id", session) == everything
    assert any("bodies.data" in place for place in finds(tmp_path, held.body))
    recorded.verified()

    release_hold(recorded.layout, recorded.keys, session, "closed", "dave")
    recorded.apply(KEPT)
    assert finds(tmp_path, held.body) | finds(tmp_path, held.statement) == set()
    recorded.verified()


def test_what_is_held_back_and_what_goes_all_the_same_are_what_would_go(tmp_path):
    """In each class, also where what is old enough for one is old enough for another, and where a body is shared."""
    recorded = Recorded(tmp_path)
    for name, age in (("record", 110), ("words", 80), ("bodies", 40), ("young", 5)):
        recorded.job(age=age, session=name)
        recorded.job(age=age, session=f"other {name}")
        # Its answer is the same in both sessions, and nowhere else.
        for session in (name, f"other {name}"):
            of = recorded.session("alice", age=age, session=session)
            recorded.exchange(of, age, Operation(GET, "acme", job_id="x"), url=f"{BASE}/jobs/x", answer={"of": name})
    recorded.fold()
    kept = cutoffs(acme=cutoff(30, 70, 100))
    before = {share.what: share for share in look(recorded.layout, kept).shares}
    assert {what: (share.flows, share.held) for what, share in before.items()} == {
        "bodies": (16, 0),
        "statements": (8, 0),
        "metadata": (8, 0),
    }

    for held, expected in (
        ("young", {"bodies": 0, "statements": 0, "metadata": 0}),
        ("bodies", {"bodies": 5, "statements": 0, "metadata": 0}),
        ("words", {"bodies": 10, "statements": 4, "metadata": 0}),
        ("record", {"bodies": 10, "statements": 4, "metadata": 4}),
    ):
        place_hold(recorded.layout, recorded.keys, recorded.sessions[held].id, "case 7", "carol")
        after = {share.what: share for share in look(recorded.layout, kept).shares}
        assert {what: share.held for what, share in after.items()} == expected
        assert {what: share.flows + share.held for what, share in after.items()} == {
            what: share.flows for what, share in before.items()
        }
    recorded.apply(kept)
    recorded.verified()


def test_a_class_of_which_all_is_held_is_counted_too(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=80, session="old")
    recorded.job(age=40, session="newer")
    recorded.fold()
    kept = cutoffs(acme=cutoff(30, 70))
    place_hold(recorded.layout, recorded.keys, recorded.sessions["old"].id, "case 7", "carol")
    counted = {share.what: (share.flows, share.held) for share in look(recorded.layout, kept).shares}
    assert counted == {"bodies": (3, 3), "statements": (0, 3)}


def test_holds_are_listed_with_who_and_why(tmp_path):
    recorded = Recorded(tmp_path)
    for name in ("one", "two", "three"):
        recorded.job(age=1, session=name)
    recorded.fold()
    ids = [recorded.sessions[name].id for name in ("one", "two", "three")]
    for number, session in enumerate(ids):
        place_hold(recorded.layout, recorded.keys, session, f"case {number}", "carol")
    release_hold(recorded.layout, recorded.keys, ids[1], "closed", "dave")
    release_hold(recorded.layout, recorded.keys, ids[0], "closed", "dave")
    place_hold(recorded.layout, recorded.keys, ids[0], "opened again", "erin")

    listed = [(hold.session_id, hold.reason, hold.by) for hold in holds(recorded.layout)]
    assert listed == [(ids[2], "case 2", "carol"), (ids[0], "opened again", "erin")]
    types = ask(tmp_path, "SELECT type FROM events WHERE type LIKE 'hold.%' ORDER BY seq")
    assert [type_ for (type_,) in types] == ["hold.placed"] * 3 + ["hold.released"] * 2 + ["hold.placed"]
    recorded.verified()


def test_a_session_that_goes_on_is_held_with_what_comes(tmp_path):
    recorded = Recorded(tmp_path)
    first = recorded.job(age=50)
    session = recorded.sessions["alice/acme"].id
    fold_once(tmp_path)
    place_hold(recorded.layout, recorded.keys, session, "case 7", "carol")
    second = recorded.job(age=40)
    recorded.fold()

    assert recorded.apply(KEPT).rewritten is None
    assert finds(tmp_path, first.body)
    assert finds(tmp_path, second.body)


def test_what_cannot_be_held_or_released_is_said(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=1)
    session = recorded.sessions["alice/acme"].id
    recorded.fold()
    with pytest.raises(NotInArchive):
        place_hold(recorded.layout, recorded.keys, "nothing", "case 7", "carol")
    with pytest.raises(HeldError, match="not on hold"):
        release_hold(recorded.layout, recorded.keys, session, "", "carol")
    assert place_hold(recorded.layout, recorded.keys, session, "case 7", "carol") is not None
    assert place_hold(recorded.layout, recorded.keys, session, "case 8", "carol") is None
    assert [hold.reason for hold in holds(recorded.layout)] == ["case 7"]


# The events of a hold are in no journal. What is on hold is noted beside that, too.


def old_copy(recorded):
    shutil.move(recorded.directory / "copy", recorded.archive)


def damage(recorded):
    os.truncate(recorded.archive, recorded.archive.stat().st_size // 2)


LOST = {"deleted": lambda recorded: recorded.archive.unlink(), "damaged": damage, "an older copy put back": old_copy}


class Held:
    """A session on hold, another that is not, and a copy of the archive from before the hold."""

    def __init__(self, directory):
        self.recorded = Recorded(directory)
        self.job = self.recorded.job(age=50, session="held")
        self.recorded.job(age=50, session="other")
        self.id, self.other = (self.recorded.sessions[name].id for name in ("held", "other"))
        self.recorded.fold()
        self.layout, self.keys = self.recorded.layout, self.recorded.keys
        shutil.copyfile(self.recorded.archive, directory / "copy")
        self.place()

    def place(self, reason="case 7"):
        return place_hold(self.layout, self.keys, self.id, reason, "carol")

    def release(self):
        return release_hold(self.layout, self.keys, self.id, "closed", "dave")

    def flows(self):
        """How many exchanges there are of either session."""
        found = dict(ask(self.recorded.directory, "SELECT session_id, count(*) FROM flows GROUP BY ALL"))
        return found.get(self.id, 0), found.get(self.other, 0)

    def listed(self):
        return [(hold.session_id, hold.reason, hold.by, hold.recorded) for hold in holds(self.layout)]


@pytest.fixture
def held(tmp_path):
    return Held(tmp_path)


@pytest.mark.parametrize("how", LOST)
def test_a_hold_outlives_the_archive_that_says_so(held, how):
    LOST[how](held.recorded)
    fold_once(held.recorded.directory)
    assert ask(held.recorded.directory, "FROM events WHERE type LIKE 'hold.%'") == []
    assert held.listed() == [(held.id, "case 7", "carol", False)]
    for aside in held.recorded.directory.glob("*.damaged-*"):
        aside.unlink()

    held.recorded.apply(KEPT)

    assert held.flows() == (3, 0)
    assert any("bodies.data" in place for place in finds(held.recorded.directory, held.job.body))
    [(statement,)] = ask(held.recorded.directory, "SELECT statement FROM jobs")
    assert held.job.statement in statement
    with pytest.raises(HeldError, match=held.id):
        erase(held.layout, held.keys, "alice@acme.example", reason="", by="the test", progress=lambda _: None)

    assert held.release() is not None
    assert held.listed() == []
    assert ask(held.recorded.directory, "SELECT session_id FROM events WHERE type = 'hold.released'") == [(held.id,)]
    held.recorded.apply(KEPT)
    assert held.flows() == (0, 0)
    held.recorded.verified()


@pytest.mark.parametrize("how", LOST)
def test_what_only_the_note_says_can_be_recorded_again(held, how):
    LOST[how](held.recorded)
    fold_once(held.recorded.directory)
    assert held.place("case 7, again") is not None
    assert held.place("case 8") is None
    assert held.listed() == [(held.id, "case 7, again", "carol", True)]
    assert held.release() is not None
    assert held.listed() == []


NONSENSE = {
    "nothing": b"",
    "no JSON": b"nonsense",
    "cut": b'[{"session_id": "a", "reas',
    "no list": b"{}",
    "no text": b"\xff\xff",
    "without a time": b'[{"session_id": "a", "reason": "b", "by": "c"}]',
    "a time of no zone": b'[{"session_id": "a", "reason": "b", "by": "c", "since": "2026-01-01T00:00:00"}]',
    "no id": b'[{"session_id": 1, "reason": "b", "by": "c", "since": "2026-01-01T00:00:00Z"}]',
}


ALIKE = ("nothing", "no list", "no text", "without a time", "no id")


@pytest.mark.parametrize(
    "what",
    [*(pytest.param(n, marks=pytest.mark.exhaustive) if n in ALIKE else n for n in NONSENSE), "a directory"],
)
def test_where_the_note_cannot_be_read_nothing_is_deleted(held, what):
    held.recorded.archive.unlink()
    fold_once(held.recorded.directory)
    held.layout.holds.unlink()
    if what in NONSENSE:
        held.layout.holds.write_bytes(NONSENSE[what])
    else:
        held.layout.holds.mkdir()
    before = held.recorded.archive.read_bytes()
    who = "alice@acme.example"
    for attempt in (
        lambda: held.recorded.apply(KEPT),
        lambda: look(held.layout, KEPT),
        lambda: erase(held.layout, held.keys, who, reason="", by="the test", progress=lambda _: None),
        lambda: trace(held.layout, who),
        lambda: holds(held.layout),
        held.place,
        held.release,
    ):
        with pytest.raises(RecordingError, match=r"holds\.json (is damaged|cannot be read).*nothing is deleted"):
            attempt()
    assert held.recorded.archive.read_bytes() == before
    assert held.flows() == (3, 3)


def test_a_release_that_was_cut_short_does_not_hold_again(held):
    """Killed after it was in the archive, and before the note said so."""
    before = held.layout.holds.read_bytes()
    held.release()
    held.layout.holds.write_bytes(before)

    assert held.listed() == []
    assert {share.held for share in look(held.layout, KEPT).shares} == {0}
    with pytest.raises(HeldError, match="not on hold"):
        held.release()
    assert json.loads(held.layout.holds.read_bytes()) == []

    held.layout.holds.write_bytes(before)
    held.recorded.apply(KEPT)
    assert held.flows() == (0, 0)
    assert json.loads(held.layout.holds.read_bytes()) == []


def test_a_hold_after_a_release_is_noted_as_the_newer(held):
    before = held.layout.holds.read_bytes()
    held.release()
    shutil.copyfile(held.recorded.archive, held.recorded.directory / "copy")
    # The release was cut short, and the copy knows of it: the note of the next hold must be newer than that.
    held.layout.holds.write_bytes(before)
    held.place()
    old_copy(held.recorded)
    assert held.listed() == [(held.id, "case 7", "carol", False)]


def test_a_hold_that_was_cut_short_holds(held, monkeypatch):
    held.release()

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ArchiveFile, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            held.place()
    assert held.listed() == [(held.id, "case 7", "carol", False)]
    held.recorded.apply(KEPT)
    assert held.flows() == (3, 0)


def test_what_cannot_be_noted_is_not_called_held(held, monkeypatch):
    held.release()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("hoop_mitm.recording.retention.holding.replace_durably", full)
        with pytest.raises(RecordingError, match=r"holds\.json cannot be written \(the disk is full\)"):
            held.place()
    assert held.listed() == []


def test_what_was_held_before_there_was_the_note_is_noted(held):
    for remember in (lambda: held.recorded.apply(KEPT), held.place):
        held.layout.holds.unlink()
        remember()
        [noted] = json.loads(held.layout.holds.read_bytes())
        assert (noted["session_id"], noted["reason"], noted["by"]) == (held.id, "case 7", "carol")
        assert held.layout.holds.stat().st_mode & 0o777 == 0o600
    held.recorded.archive.unlink()
    fold_once(held.recorded.directory)
    assert held.listed() == [(held.id, "case 7", "carol", False)]


def test_looking_notes_nothing(tmp_path):
    recorded = Recorded(tmp_path)
    recorded.job(age=50)
    recorded.fold()
    assert holds(recorded.layout) == ()
    look(recorded.layout, KEPT)
    recorded.apply(KEPT)
    assert not recorded.layout.holds.exists()


def test_a_session_that_is_in_no_journal_any_more_is_released_too(held):
    held.recorded.archive.unlink()
    for _, segment in held.layout.segments():
        segment.unlink()
    fold_once(held.recorded.directory)
    assert held.listed() == [(held.id, "case 7", "carol", False)]
    with pytest.raises(NotInArchive):
        held.place()
    assert held.release() is None
    assert held.listed() == []
    with pytest.raises(HeldError):
        held.release()


@pytest.mark.parametrize("changes", [(), (place_hold,)], ids=["a hold", "a release"])
def test_what_a_clock_that_is_behind_would_make_void_is_refused(tmp_path, monkeypatch, changes):
    """Else it would say that a session is on hold, and the next retention would delete it."""
    recorded = Recorded(tmp_path)
    session = recorded.session("alice", age=20)
    recorded.fold()
    given = (recorded.layout, recorded.keys, session.id, "case 7", "the test")
    for change in (place_hold, release_hold, *changes):
        change(*given)
    before, listed = recorded.archive.read_bytes(), holds(recorded.layout)

    class Behind(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr("hoop_mitm.recording.keeping.datetime", Behind)
    with pytest.raises(RecordingError, match=r"clock is behind.*would not count"):
        (release_hold if changes else place_hold)(*given)

    assert (recorded.archive.read_bytes(), holds(recorded.layout)) == (before, listed)
    recorded.verified()
