"""What lies in the place where readers leave word: anything at all."""

import json
import os
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hoop_mitm.recording import looks
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.looks import LARGEST, MOST, Looks, Note
from hoop_mitm.recording.sharing import share

SESSION = "0193a5c0-0000-7000-8000-000000000001"


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "recordings")
    share(layout)
    return layout


def leave(layout, note=None, name="note.json", **changes):
    given = {"at": datetime.now(UTC), "command": "show", "sessions": (SESSION,), "count": 1} | changes
    path = layout.looks / name
    path.write_bytes((note or Note(**given)).encoded())
    return path


def looked(layout, *, at, **changes):
    """The events that a gateway makes of a reader's note, as if it had been left at another time."""
    share(layout)
    leave(layout, **changes)
    place = Looks(layout)
    taken = place.take()
    place.remove(taken.files)
    return [replace(event, at=at) for event in taken.events]


def test_a_note_becomes_an_event_of_the_files_owner_and_time(layout):
    path = leave(layout, login="alice@acme.example")
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    taken = Looks(layout).take()
    [event] = taken.events
    status = path.stat()
    assert taken.files == (path,)
    assert (event.type, event.session_id) == ("archive.read", SESSION)
    assert event.at == datetime.fromtimestamp(status.st_ctime, UTC)
    assert event.details["uid"] == status.st_uid
    assert event.details["user"] == looks._user(status.st_uid)
    assert event.message == f"{event.details['user']} looked at 1 session with `hoop-mitm show`."
    assert event.details["login"] == "alice@acme.example"
    assert "about" not in event.details


def test_what_was_looked_for_is_an_event_of_its_own_that_names_the_first(layout):
    path = leave(layout, command="search", login="alice@acme.example", about="text='salaries'")
    taken = Looks(layout).take()
    read, search = taken.events
    assert taken.files == (path,)
    assert (read.type, search.type) == ("archive.read", "archive.search")
    assert (search.at, search.session_id) == (read.at, SESSION)
    assert search.message == f"{read.details['user']} looked for something with `hoop-mitm search`."
    assert search.details == {"read": read.id, "about": "text='salaries'", "login": "alice@acme.example"}
    assert "salaries" not in repr(read)


def test_what_was_looked_for_in_several_sessions_is_in_none(layout):
    leave(layout, sessions=(SESSION, SESSION[:-1] + "2"), count=2, about="text='salaries'")
    assert [event.session_id for event in Looks(layout).take().events] == [None, None]


@pytest.mark.parametrize("about", ["", "text='salaries'"])
def test_taken_again_after_a_crash_they_are_the_same_events(layout, about):
    leave(layout, about=about)
    once, again = (Looks(layout).take().events for _ in range(2))
    assert once == again
    assert [event.type for event in once] == ["archive.read", "archive.search"][: 2 if about else 1]
    assert len({event.id for event in once}) == len(once)


def test_what_was_taken_is_removed_when_that_is_asked_for_and_is_one_event_until_then(layout):
    leave(layout)
    place = Looks(layout)
    once, again = place.take(), place.take()
    assert [event.id for event in once.events] == [event.id for event in again.events]
    place.remove(once.files)
    assert place.take().files == ()


def test_two_readers_with_the_same_words_are_two_events(layout):
    note = Note(datetime.now(UTC), "sessions")
    leave(layout, note, "one")
    leave(layout, note, "two")
    events = Looks(layout).take().events
    assert len({event.id for event in events}) == 2
    assert {event.session_id for event in events} == {None}


def test_two_readers_who_look_for_the_same_are_told_apart(layout):
    note = Note(datetime.now(UTC), "search", about="text='salaries'")
    leave(layout, note, "one")
    leave(layout, note, "two")
    events = Looks(layout).take().events
    assert len({event.id for event in events}) == 4
    reads, searches = ([event for event in events if event.type == f"archive.{type_}"] for type_ in ("read", "search"))
    assert [event.details["read"] for event in searches] == [event.id for event in reads]


def fifo(path):
    os.mkfifo(path)


def link(path):
    path.symlink_to("/etc/passwd")


def link_to_a_note(path):
    target = path.parent.parent / "note"
    target.write_bytes(Note(datetime.now(UTC), "show").encoded())
    path.symlink_to(target)


def hard_link(path):
    """Another name of a file of somebody else's, who would then be the one who looked."""
    other = path.parent.parent / "others"
    other.write_bytes(Note(datetime.now(UTC), "show").encoded())
    path.hardlink_to(other)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def huge(path):
    with path.open("wb") as file:
        file.truncate(2**40)


def a_directory(path):
    path.mkdir()


def unreadable(path):
    path.write_bytes(b"")
    path.chmod(0)


def text(content):
    def plant(path):
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    return plant


GOOD = {"at": "2026-11-22T12:00:00Z", "command": "show", "sessions": [SESSION], "count": 1}
PLANTED = {
    "fifo": fifo,
    "link": link,
    "link to a note": link_to_a_note,
    "hard link": hard_link,
    "socket": a_socket,
    "huge": huge,
    "directory": a_directory,
    "unreadable": unreadable,
    "empty": text(b""),
    "no JSON": text(b"\xff\x00{"),
    "deep": text(b"[" * LARGEST),
    "not an object": text([1, 2]),
    "no command": text({"at": "2026-11-22T12:00:00Z"}),
    "more": text(GOOD | {"principal": "root"}),
    "long command": text(GOOD | {"command": "x" * 201}),
    "long about": text(GOOD | {"about": "x" * 1001}),
    "many sessions": text(GOOD | {"sessions": [SESSION] * 201}),
    "no session": text(GOOD | {"sessions": ["<script>"]}),
    "no time": text(GOOD | {"at": "now"}),
    "no number": text(GOOD | {"count": -1}),
    "another version": text(GOOD | {"version": 2}),
    "just too large": text(b" " * LARGEST + json.dumps(GOOD).encode()),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_no_note_is_an_event_of_its_own_and_is_removed_unharmed(layout, plant):
    plant(layout.looks / "planted")
    outside = {path: path.read_bytes() for path in layout.directory.iterdir() if path.is_file()}
    leave(layout)
    place = Looks(layout)
    begin = time.thread_time()
    taken = place.take()
    # One that it waited at, it would wait at for ever; and one that it read, it would read for long.
    assert time.thread_time() - begin < 5
    by_type = {event.type: event for event in taken.events}
    assert by_type.keys() == {"archive.read", "archive.junk"}
    assert by_type["archive.junk"].details["count"] == 1
    assert by_type["archive.junk"].details["first"][0]["name"] == "'planted'"
    place.remove(taken.files)
    assert list(layout.looks.iterdir()) == []
    assert {path: path.read_bytes() for path in outside} == outside


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a\nb", "\x1b]0;x\x07", "x" * 255])
def test_a_name_may_be_anything(layout, name):
    (layout.looks / name).write_text("junk")
    place = Looks(layout)
    taken = place.take()
    [event] = taken.events
    assert event.details["first"][0]["name"].isascii()
    assert len(event.details["first"][0]["name"]) <= 100
    place.remove(taken.files)
    assert list(layout.looks.iterdir()) == []


def test_a_directory_that_is_not_empty_is_told_once_and_left(layout):
    (layout.looks / "planted" / "more").mkdir(parents=True)
    place = Looks(layout)
    taken = place.take()
    place.remove(taken.files)
    assert [event.type for event in taken.events] == ["archive.junk"]
    assert place.take() == looks.Taken((), ())
    leave(layout)
    assert [event.type for event in place.take().events] == ["archive.read"]


def test_many_are_taken_in_portions(layout):
    for number in range(MOST + 10):
        (layout.looks / f"{number}").write_text("junk")
    place = Looks(layout)
    first = place.take()
    assert (len(first.files), len(first.events)) == (MOST, 1)
    place.remove(first.files)
    assert place.take().events[0].details["count"] == 10


def test_one_that_is_being_written_is_waited_for_but_not_for_ever(layout, monkeypatch):
    (layout.looks / ".half").write_text("{")
    assert Looks(layout).take().files == ()
    monkeypatch.setattr(looks, "UNFINISHED", 0.0)
    assert [event.type for event in Looks(layout).take().events] == ["archive.junk"]


def test_one_that_is_replaced_while_it_is_read_is_not_followed(layout, monkeypatch):
    path = leave(layout)
    found = path.lstat()
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert looks._read(path, found).startswith("cannot be read")
    path.unlink()
    os.mkfifo(path)
    assert looks._read(path, found) == "replaced while it was read"
