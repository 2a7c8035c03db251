"""A shared recording: whoever looks leaves word of it first, and the gateway makes it part of the recording."""

import inspect
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import click
import duckdb
import msgspec
import pytest
from click.testing import CliRunner

from hoop_mitm.archive import Query, looking, open_archive
from hoop_mitm.cli import COMMANDS, load, main
from hoop_mitm.errors import ArchiveError
from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.looks import Note
from hoop_mitm.recording.sharing import share
from hoop_mitm.serving import load as served
from tests import another_user
from tests.archive.building import NOON, Builder, columns
from tests.attacks.raw import bigquery
from tests.cli.test_retention import CommandLine
from tests.clients.clients import DRIVERS
from tests.examples import blocks_of
from tests.gateways import RunningGateway
from tests.laptops import Laptop
from tests.waiting import until

RECORDINGS = Path(__file__).parents[2] / "docs" / "recordings.md"

#: Every command that reads a recording, and how it is asked for one session.
READING = {
    "sessions": [],
    "show": ["nightly"],
    "search": ["orders"],
    "replay": ["nightly", "--instant"],
    "export": ["nightly", "--format", "har"],
    "diff": ["nightly", "other"],
    "policy test": ["--since", "2026-01-01"],
}
#: Those begin with the same reading, and then start a gateway, or need one: here they end where they would.
AND_THEN = {
    "serve": ["nightly", "--config", "no-configuration.yaml"],
    "rerun": ["nightly", "--yes", "--client", "nowhere.yaml"],
}
#: ``tail`` does not end by itself; ``verify`` leaves no word; of the rest each has a test of its own below.
OTHERS = {
    *("tail", "verify", "reconcile", "run", "sessions revoke"),
    *("retention hold", "retention release", "retention holds", "retention show"),
}


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-configuration.yaml").write_text("connections: 1\n")
    directory = tmp_path / "recordings"
    directory.mkdir()
    builder = Builder(directory / "hoop.duckdb")
    for name in ("nightly", "other"):
        builder.asked(builder.session(name), "SELECT name FROM orders", columns(name="STRING"), [("Zo\u00eb",)])
    builder.write()
    share(Layout(directory))
    return directory


def run(directory, *arguments):
    return CliRunner(env={"TZ": "UTC"}).invoke(main, [*arguments, "--db", str(directory)], prog_name="hoop-mitm")


def notes(directory):
    return [msgspec.json.decode(path.read_bytes(), type=Note) for path in sorted((directory / "looks").iterdir())]


def sessions_of(directory):
    with duckdb.connect(directory / "hoop.duckdb", read_only=True) as connection:
        return dict(connection.execute("SELECT name, id FROM sessions").fetchall())


def test_these_are_all_commands_that_read():
    """Groups and what is in them; ``--db`` or not."""
    commands = dict(all_commands())
    noted = {name for name, command in commands.items() if "is_noted" in command.callback.__dict__}
    with_db = {name for name, command in commands.items() if any(option.name == "db" for option in command.params)}
    assert noted == READING.keys() | AND_THEN.keys() | OTHERS
    assert with_db - noted == set()
    # Where an archive is opened at all, some command says so.
    modules = {name: inspect.getmodule(command.callback) for name, command in commands.items()}
    opening = {
        module
        for module in modules.values()
        if re.search("open_archive|open_settled|summary_of", inspect.getsource(module))
    }
    assert opening - {modules[name] for name in noted} == set()


def all_commands():
    names = [name for section in COMMANDS.values() for name in section]
    waiting = [(name, load(_target(name))) for name in names]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, click.Group):
            waiting += [(f"{name} {inner}", each) for inner, each in command.commands.items()]
        yield name, command


def _target(name):
    return next(section[name][0] for section in COMMANDS.values() if name in section)


@pytest.mark.parametrize(("command", "arguments"), READING.items())
def test_each_says_which_sessions_were_looked_at(shared, command, arguments):
    assert run(shared, *command.split(), *arguments).stdout
    ids = sessions_of(shared)
    left = notes(shared)
    seen = {session for note in left for session in note.sessions}
    assert {note.command for note in left} == {command}
    assert seen == ({ids["nightly"]} if "nightly" in arguments and "other" not in arguments else set(ids.values()))


@pytest.mark.parametrize(("command", "arguments"), AND_THEN.items())
def test_so_do_those_that_then_need_a_gateway(shared, command, arguments):
    before = signal.getsignal(signal.SIGINT)
    assert run(shared, command, *arguments).exit_code in {1, 2}
    left = notes(shared)
    assert {(note.command, note.sessions) for note in left} == {(command, (sessions_of(shared)["nightly"],))}
    # Who calls a command in their own process goes on hearing Ctrl-C, and so do the programs that they start.
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("command", "arguments"), (READING | AND_THEN).items())
@pytest.mark.parametrize("broken", ["file", "link", "gone but linked"])
def test_where_no_word_can_be_left_nothing_is_shown(shared, tmp_path, command, arguments, broken):
    (shared / "looks").rmdir()
    if broken == "file":
        (shared / "looks").write_text("")
    else:
        (tmp_path / "elsewhere").mkdir()
        (shared / "looks").symlink_to(tmp_path / ("elsewhere" if broken == "link" else "nowhere"))
    result = run(shared, *command.split(), *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "so nothing is shown" in result.stderr
    assert not list((tmp_path / "elsewhere").glob("*")) if broken == "link" else True


def test_a_policy_that_is_tried_says_since_when(shared):
    run(shared, "policy", "test", "--since", "2999-01-01")
    left = notes(shared)
    assert {note.command for note in left} == {"policy test"}
    assert [note.about for note in left if note.about] == ["since=2999-01-01T00:00:00+00:00"]
    assert not any(note.sessions for note in left)


def test_what_is_served_or_asked_again_was_looked_at(shared):
    with looking.by("serve"):
        served(shared / "hoop.duckdb", ["nightly"])
    assert {(note.command, *note.sessions) for note in notes(shared)} >= {("serve", sessions_of(shared)["nightly"])}
    for note in (shared / "looks").iterdir():
        note.unlink()
    (shared / "looks").rmdir()
    (shared / "looks").write_text("")
    with pytest.raises(ArchiveError, match="so nothing is shown"), looking.by("rerun"):
        served(shared / "hoop.duckdb", ["nightly"])


def test_word_is_left_before_anything_is_shown(shared, monkeypatch):
    """Also when the screen cannot be written to."""

    def broken(*_):
        raise RuntimeError("the screen is gone")

    monkeypatch.setattr("hoop_mitm.cli.terminal.print_all", broken)
    run(shared, "show", "nightly")
    assert [note.command for note in notes(shared)] == ["show"]


def test_a_name_that_means_several_is_a_look_at_them_too(tmp_path, shared):
    builder = Builder(shared / "hoop.duckdb")
    ids = {builder.session("twice"), builder.session("twice")}
    builder.write()
    result = run(shared, "show", "twice")
    assert result.exit_code == 2
    assert {session for note in notes(shared) for session in note.sessions} == ids


def test_what_was_searched_for_is_told(shared, monkeypatch):
    # In one go: in rows a search looks for about a second at a time, and each part names the sessions that are new.
    monkeypatch.setattr("hoop_mitm.archive.search._PATIENCE", 3600.0)
    run(shared, "search", "Zo\u00eb", "--rows", "--verdict", "allow")
    [note] = notes(shared)
    assert note.about == "text='Zo\u00eb' rows=True verdict='allow'"
    run(shared, "search", "no such thing")
    assert {note.count for note in notes(shared)} == {2, 0}


@pytest.mark.parametrize(
    ("type_", "found"), [("archive.read", False), ("archive.search", False), ("review.approved", True)]
)
def test_what_others_searched_for_is_not_found_again(shared, type_, found):
    """In recordings from before there was ``archive.search``, ``archive.read`` tells it."""
    builder = Builder(shared / "hoop.duckdb")
    builder.event(None, type_, "Something happened.", id="an event", details=json.dumps({"about": "text='salaries'"}))
    builder.write()
    assert run(shared, "search", "salaries").exit_code == (0 if found else 1)


@pytest.mark.parametrize("text", ["x" * 5000, "\udcff", "\n\x00'\""])
def test_what_was_searched_for_may_be_anything(shared, text):
    run(shared, "search", text)
    [note] = notes(shared)
    assert len(note.about) <= 500


def test_a_link_to_the_recording_is_the_recording(shared, tmp_path):
    link = tmp_path / "link.duckdb"
    link.symlink_to(shared / "hoop.duckdb")
    assert CliRunner().invoke(main, ["show", "nightly", "--db", str(link)]).exit_code == 0
    assert [note.command for note in notes(shared)] == ["show"]


def test_a_program_that_uses_the_library_leaves_word_too(shared):
    with open_archive(shared) as archive:
        archive.show(archive.find("nightly"))
    [note] = notes(shared)
    assert (note.command, note.sessions) == ("python", (sessions_of(shared)["nightly"],))
    (shared / "looks" / "x").mkdir()
    (shared / "looks").rename(shared / "away")
    (shared / "looks").write_text("")
    with open_archive(shared) as archive, pytest.raises(ArchiveError, match="so nothing is shown"):
        archive.sessions()


def test_a_search_that_goes_on_is_one_look(shared):
    """As one in rows does, which tells what it has found after a while."""
    with looking.by("search"), open_archive(shared) as archive:
        first = archive.search(Query(text="SELECT"), limit=1)
        while first.next:
            first = archive.search(Query(text="SELECT"), limit=1, before=first.next)
        archive.search(Query(text="SELECT"))
        archive.search(Query(text="FROM"))
    left = sorted(notes(shared), key=lambda note: note.at)
    named = [session for note in left for session in note.sessions]
    assert sorted(named) == sorted(sessions_of(shared).values())
    assert [(note.about, note.count) for note in left] == [("text='SELECT'", 1)] * len(named) + [("text='FROM'", 0)]


def test_half_a_word_is_none(shared):
    """A disk that is nearly full takes the first part of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_archive(shared) as archive:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
        try:
            with pytest.raises(ArchiveError, match="so nothing is shown"):
                archive.sessions()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((shared / "looks").glob("*.json"))


def test_many_sessions_are_counted_and_the_first_of_them_named(shared):
    builder = Builder(shared / "hoop.duckdb")
    for number in range(300):
        builder.session(f"s{number}")
    builder.write()
    assert run(shared, "sessions", "--limit", "0").exit_code == 0
    [note] = notes(shared)
    assert (len(note.sessions), note.count) == (200, 300)
    assert len(note.encoded()) < 2**14


def test_unshared_nothing_is_left(tmp_path):
    builder = Builder(tmp_path / "hoop.duckdb")
    builder.session("nightly")
    builder.write()
    assert run(tmp_path, "show", "nightly").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["hoop.duckdb"]


# Those of the gateway's owner, which take the recording from the configuration.


def owners(directory, *command):
    arguments = [*command, "--config", str(directory / "hoop.yaml")]
    return CliRunner(env={"TZ": "UTC"}).invoke(main, arguments, prog_name="hoop-mitm")


@pytest.mark.parametrize(
    "command",
    [["retention", "hold", "{}", "--reason", "case 17"], ["retention", "release", "{}"], ["sessions", "revoke", "{}"]],
    ids=" ".join,
)
def test_a_session_that_is_looked_up_was_looked_at(tmp_path, command):
    place = CommandLine(tmp_path)
    share(place.recorded.layout)
    id_ = sessions_of(place.recorded.layout.directory)["alice-python"]
    if "release" in command:
        owners(tmp_path, "retention", "hold", id_, "--reason", "case 17")
        for path in (place.recorded.layout.looks).iterdir():
            path.unlink()
    done = owners(tmp_path, *(word.format("alice-python") for word in command))
    assert done.exit_code == 0, done.output
    assert [(note.command, note.sessions) for note in notes(place.recorded.layout.directory)] == [
        (" ".join(command[:2]), (id_,))
    ]


@pytest.mark.parametrize("command", [["holds"], ["holds", "--json"], ["show"], ["show", "--json"]], ids=" ".join)
def test_what_is_on_hold_was_looked_at(tmp_path, command):
    place = CommandLine(tmp_path)
    directory = place.recorded.layout.directory
    share(place.recorded.layout)
    assert owners(tmp_path, "retention", *command).exit_code == 0
    assert [(note.command, note.sessions) for note in notes(directory)] == [(f"retention {command[0]}", ())]
    id_ = sessions_of(directory)["alice-python"]
    owners(tmp_path, "retention", "hold", id_, "--reason", "case 17")
    for path in (directory / "looks").iterdir():
        path.unlink()
    assert owners(tmp_path, "retention", *command).exit_code == 0
    assert [(note.command, note.sessions) for note in notes(directory)] == [(f"retention {command[0]}", (id_,))]
    # Where no word can be left, nothing is shown.
    shutil.rmtree(directory / "looks")
    (directory / "looks").write_text("")
    refused = owners(tmp_path, "retention", *command)
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "so nothing is shown" in refused.stderr


def test_all_sessions_are_looked_at_to_revoke_a_principals(tmp_path):
    place = CommandLine(tmp_path)
    share(place.recorded.layout)
    assert owners(tmp_path, "sessions", "revoke", "--principal", "alice@example.com").exit_code == 0
    [note] = notes(place.recorded.layout.directory)
    ids = sessions_of(place.recorded.layout.directory)
    assert (note.command, set(note.sessions)) == ("sessions revoke", set(ids.values()))


def test_reconciling_says_whose_jobs_of_what_time_were_compared(shared, world, tmp_path):
    connection = {"name": "acme", "projects": ["acme"], "credential": world.credential("service_account")}
    world.write_config(tmp_path / "hoop.yaml", connections=[connection], recording={"directory": shared})
    noon = (NOON - timedelta(hours=1)).isoformat()
    done = owners(tmp_path, "reconcile", "--since", noon, "--until", (NOON + timedelta(hours=1)).isoformat())
    assert "SELECT name FROM orders" in done.stdout, done.output
    left = notes(shared)
    assert {note.command for note in left} == {"reconcile"}
    assert {session for note in left for session in note.sessions} == set(sessions_of(shared).values())
    assert any(note.about.startswith("projects=acme since=") for note in left)


def test_what_a_gateway_left_open_is_looked_at_by_the_next_ones_command(shared):
    builder = Builder(shared / "hoop.duckdb")
    session = builder.session("cut off")
    key = builder.job(session, "DELETE FROM t", id=None, state="UNKNOWN")
    builder.flow(session, job_key=key, door="jobs.query", status=None, state="open", error="It died.")
    builder.event(None, "gateway.started", "The gateway started.")
    builder.write()
    with duckdb.connect(shared / "hoop.duckdb", read_only=True) as connection:
        [(event,)] = connection.execute("SELECT id FROM events").fetchall()
    asking = [sys.executable, "-m", "hoop_mitm.reconciling.left_open", str(shared), "--after", event, "acme"]
    done = subprocess.run(asking, capture_output=True, text=True, check=True)
    assert "DELETE FROM t" in done.stdout
    left = notes(shared)
    assert {note.command for note in left} == {"proxy"}
    assert {session for note in left for session in note.sessions} == {session}


# The whole, with a gateway.


def wait_for(gateway, question):
    """What is found, once there is something."""
    found = []

    def is_there():
        found[:] = gateway.ask(question)
        return found

    until(is_there)
    return found


def ask(gateway):
    with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as client:
        body = {"query": "SELECT 1", "useLegacySql": False}
        assert (
            client.request(
                "POST", "/bigquery/v2/projects/acme/queries", token=gateway.world.issuer.token("alice"), body=body
            ).status
            == 200
        )


EVENTS = "SELECT type, message, session_id, details FROM events WHERE type LIKE 'archive.%' ORDER BY seq"
READS = EVENTS.replace("LIKE 'archive.%'", "= 'archive.read'")


def who_looked(gateway):
    """What the page's question finds: command, what for, and session."""
    [block] = [block for block in blocks_of(RECORDINGS, "sql") if "who-looked.csv" in block]
    question = re.fullmatch(r"COPY \((.*)\) TO 'who-looked.csv' \(HEADER\);\s*", block, re.DOTALL)[1]
    return gateway.ask(f"SELECT command, about, session_id FROM ({question})")


def test_a_gateway_takes_what_readers_leave_for_events_of_the_recording(world, tmp_path):
    with RunningGateway(world, tmp_path, recording={"shared": True}) as gateway:
        ask(gateway)
        gateway.folded().close()
        assert wait_for(gateway, EVENTS)[0][0] == "archive.shared"
        assert run(gateway.recordings, "show", "@last").exit_code == 0
        session = json.loads(run(gateway.recordings, "sessions", "--json").stdout)[0]["id"]
        found = {json.loads(row[3])["command"]: row for row in wait_for(gateway, f"{READS} OFFSET 1")}
        found |= {json.loads(row[3])["command"]: row for row in gateway.ask(READS)}
        assert found["show"][2] == session
        assert json.loads(found["show"][3])["uid"] == os.geteuid()
        assert not gateway.ask(EVENTS.replace("archive.%", "archive.search"))
        assert run(gateway.recordings, "search", "SELECT 1").exit_code == 0
        [(_, message, of, details)] = wait_for(gateway, EVENTS.replace("archive.%", "archive.search"))
        assert (message.partition(" ")[2], of) == ("looked for something with `hoop-mitm search`.", session)
        assert json.loads(details)["about"] == "text='SELECT 1'"
        assert ("search", "text='SELECT 1'", session) in who_looked(gateway)
        assert ("show", None, session) in who_looked(gateway)
        (gateway.recordings / "looks" / "junk").symlink_to("/etc/passwd")
        assert "1 thing that is no note" in wait_for(gateway, EVENTS.replace("archive.%", "archive.junk"))[0][1]
    # What was left while no gateway ran is taken by the next.
    assert run(gateway.recordings, "replay", "@last", "--instant").exit_code == 0
    with RunningGateway(world, tmp_path, recording={"shared": True}) as gateway:
        assert wait_for(gateway, f"SELECT 1 FROM ({READS}) WHERE details LIKE '%replay%'")
        until(lambda: not list((gateway.recordings / "looks").iterdir()))
    with RunningGateway(world, tmp_path) as gateway:
        assert wait_for(gateway, EVENTS.replace("archive.%", "archive.unshared"))
        until(lambda: not (gateway.recordings / "looks").exists())


def test_the_line_at_the_end_of_a_run_is_a_look(world, tmp_path):
    with RunningGateway(world, tmp_path, recording={"shared": True}) as gateway:
        laptop = Laptop(tmp_path, gateway)
        laptop.sign_in()
        done = laptop.hoop("run", "--", sys.executable, str(DRIVERS / "python_rest.py"), "query", "SELECT 1 AS one")
        assert "hoop-mitm: 1 job" in done.stderr, done.stderr
        [(session,)] = gateway.ask("SELECT id FROM sessions")
        of_it = f"SELECT details FROM ({READS}) WHERE details LIKE '%\"run\"%' AND session_id = '{session}'"
        told = wait_for(gateway, of_it)
        assert {json.loads(details)["command"] for (details,) in told} == {"run"}
        assert not gateway.ask(f"SELECT 1 FROM ({READS}) WHERE details LIKE '%\"python\"%'")


@another_user.needs_root
def test_another_user_of_the_group_reads_and_is_known_by_the_system_not_by_their_word(world):
    with another_user.place() as place:
        (place / "recordings").mkdir()
        os.chown(place / "recordings", -1, another_user.GROUP)
        with RunningGateway(world, place, recording={"shared": True}) as gateway:
            ask(gateway)
            gateway.folded().close()
            assert wait_for(gateway, EVENTS)
            own = gateway.recordings
            shown = another_user.run(own, own, "show", "@last")
            assert shown.returncode == 0, shown.stderr
            assert "SELECT 1" in shown.stdout
            others = f"SELECT details FROM ({READS}) WHERE details LIKE '%\"uid\":{another_user.USER}%'"
            [(details,)] = wait_for(gateway, others)
            assert json.loads(details)["command"] == "show"
            # Not of the group: nothing.
            stranger = another_user.run(own, own, "show", "@last", groups=[])
            assert (stranger.returncode, stranger.stdout) == (2, "")
            assert "is not readable" in stranger.stderr
            # A reader cannot list, read or remove what others leave, nor write the recording.
            denied = another_user.attempt(
                f"os.listdir({str(own / 'looks')!r})",
                f"open({str(own / 'hoop.duckdb')!r}, 'ab')",
                f"open({str(own / 'new')!r}, 'w')",
                f"os.rmdir({str(own / 'looks')!r})",
                f"os.listdir({str(own / 'journal')!r})",
            )
            assert denied == ["PermissionError"] * 5
