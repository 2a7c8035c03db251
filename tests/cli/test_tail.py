"""``hoop-mitm tail`` beside a running gateway, real clients and all that may happen to the file."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pytest

from hoop_mitm.cli.filters import filtering
from hoop_mitm.cli.search import search
from hoop_mitm.cli.tail import tail
from tests.attacks.raw import bigquery
from tests.clients.clients import DRIVERS, drive
from tests.gateways import RunningGateway
from tests.waiting import until

_PATIENCE = 60


class Tail:
    """The command as a process; what it prints can be waited for."""

    def __init__(self, db, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hoop_mitm.cli", "tail", "--db", str(db), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def begun(self):
        """The same, from when on it misses nothing."""
        for line in self.process.stderr:
            if line.startswith("Following "):
                return self
        raise AssertionError("it ended before it began")

    def line(self):
        return self._lines.get(timeout=_PATIENCE)

    def json(self):
        return json.loads(self.line())

    def job(self, statement):
        """The first job with this statement; and how many other jobs came before it."""
        others = 0
        while True:
            told = self.json()
            if told["job"] and told["job"]["statement"] == statement:
                # What takes long is told before it is over, too.
                if told["over"]:
                    return told, others
                continue
            others += told["job"] is not None

    def rest(self, quiet=3.0):
        """What comes until nothing has come for so many seconds."""
        lines = []
        while True:
            try:
                lines.append(self._lines.get(timeout=quiet))
            except queue.Empty:
                return lines


def ask(gateway, statement, user="alice", **session):
    drive(gateway.environment(user, **session), sys.executable, DRIVERS / "python_storage.py", "query", statement)


def test_what_a_client_does_is_told_before_it_does_more_and_once(gateway: RunningGateway):
    gateway.folded().close()
    with Tail(gateway.archive, "--json", "-n", "0").begun() as following:
        ask(gateway, "SELECT 'warm-up'")
        following.job("SELECT 'warm-up'")
        statements = [f"SELECT {number} AS told" for number in range(3)]
        for statement in statements:
            ask(gateway, statement)
            told, _ = following.job(statement)
            assert (told["over"], told["kind"], told["principal"]["email"]) == (True, "job", "alice@acme.example")
            assert told["job"]["state"] == "DONE"
        again = [line for line in following.rest() if json.loads(line)["job"]]
        assert again == []


def test_people_see_it_as_search_shows_it_and_ctrl_c_ends_it(gateway: RunningGateway):
    ask(gateway, "SELECT 'for people'", name="watched")
    gateway.folded().close()
    with Tail(gateway.archive, "-n", "3", "--session", "watched") as following:
        head, statement = following.line(), following.line()
        assert ("alice@acme.example" in head, "watched" in head) == (True, True)
        assert statement.strip() == "SELECT 'for people'"
        following.process.send_signal(signal.SIGINT)
        assert following.process.wait(_PATIENCE) == 130
        assert "Traceback" not in following.process.stderr.read()


def test_filters_are_those_of_search_and_a_denial_is_told(gateway: RunningGateway):
    gateway.folded().close()
    with (
        Tail(gateway.archive, "--json", "-n", "0", "--verdict", "deny", "--type", "identity.expired").begun() as none,
        Tail(gateway.archive, "--json", "-n", "0", "--verdict", "deny").begun() as denials,
    ):
        ask(gateway, "SELECT 'allowed'")
        with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as client:
            path = "/bigquery/v2/projects/acme/queries/job_of_somebody_else"
            assert client.request("GET", path, token=gateway.world.issuer.token("bob")).status == 403
        told = denials.json()
        while told["kind"] == "event":
            assert told["event"]["type"].endswith(".refused")
            told = denials.json()
        assert told["flow"]["url"].endswith(path)
        assert told["flow"]["verdict"]["decision"] == "deny"
        assert none.rest(0.1) == []


def test_it_survives_a_restart_another_file_and_a_reader_who_stays(world, tmp_path):
    with RunningGateway(world, tmp_path) as gateway:
        ask(gateway, "SELECT 'before'")
        gateway.folded().close()
        following = Tail(gateway.archive, "--json")
        assert following.job("SELECT 'before'")
    with following, RunningGateway(world, tmp_path) as gateway:
        ask(gateway, "SELECT 'after a restart'")
        following.job("SELECT 'after a restart'")
        # Neither the fold nor the follower can have the file now.
        with hold(gateway.archive):
            ask(gateway, "SELECT 'while it was held'")
            time.sleep(3)
        following.job("SELECT 'while it was held'")
        replace_archive(gateway.archive)
        ask(gateway, "SELECT 'in another file'")
        _, others = following.job("SELECT 'in another file'")
        told_again = [line for line in following.rest() if json.loads(line)["job"]]
        assert (others, told_again) == (0, [])


def test_a_gateway_is_waited_for_that_has_not_folded_yet(tmp_path):
    (tmp_path / "journal").mkdir()
    with Tail(tmp_path) as following:
        assert "the gateway has recorded nothing yet" in following.process.stderr.readline()
        assert following.process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "status", "words"), [([], 3, "There is no recording at"), (["-n", "x"], 2, "-n")]
)
def test_what_cannot_be_followed_is_said(tmp_path, arguments, status, words):
    with Tail(tmp_path, *arguments) as following:
        assert following.process.wait(_PATIENCE) == status
        assert words in following.process.stderr.read()


def test_search_and_tail_filter_alike():
    shared = {option.name for option in filtering(lambda: None).__click_params__}
    for command in (search, tail):
        assert shared <= {option.name for option in command.params}


class hold:  # noqa: N801 - reads as a verb
    """Another process reads the archive and does not let go."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        code = "import duckdb, sys, time\nwhile True:\n    try:\n        c = duckdb.connect(sys.argv[1])\n        break\n    except duckdb.IOException:\n        time.sleep(0.02)\nprint('held', flush=True)\ntime.sleep(600)"
        self._process = subprocess.Popen([sys.executable, "-c", code, str(self._path)], stdout=subprocess.PIPE)
        self._process.stdout.readline()

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def replace_archive(path):
    """A copy in its place, as retention puts one there."""
    copy = path.with_name("copy.duckdb")

    def is_replaced():
        try:
            with duckdb.connect(str(path), read_only=True):
                shutil.copy(path, copy)
                copy.replace(path)
        except duckdb.IOException:
            return False
        return True

    until(is_replaced)
