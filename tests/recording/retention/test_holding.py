"""Of a session on hold nothing goes, whatever its age; who held it, and who let it go, is signed."""

import pytest

from hoop_mitm.errors import HeldError, NotInArchive
from hoop_mitm.recording.fold import fold_once
from hoop_mitm.recording.retention import holds, look, place_hold, release_hold
from tests.recording.building import ask
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
