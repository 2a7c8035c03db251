"""Five minutes of a new user: an empty home, five commands, and no file that is edited by hand.

Each command is a process on a terminal of its own, as somebody types it, and what is asserted is what they see there.
The page on which they say who they are is answered in a real Chromium.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.google import WORKFORCE_AUDIENCE
from hoop_mitm.devkit.issuer import CLIENT_ID
from hoop_mitm.devkit.world import World
from tests import browser
from tests.clients import environments
from tests.clients.environments import NotHere
from tests.terminals import Terminal

STATEMENT = "SELECT id, name FROM shop.customers ORDER BY id LIMIT 2"
type SignIn = Callable[["Newcomer", World, str], str]
BQ = ("run", "--", "bq", "query", "--nouse_legacy_sql")


class Newcomer:
    """Somebody with an empty home, in an empty directory; they have `hoop-mitm` and `bq`, and no editor."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.place = home / "hoop"
        self.place.mkdir(parents=True)
        programs = [Path(sys.executable).parent, environments.bq().parent, Path("/usr/bin"), Path("/bin")]
        # Nothing of whoever runs the tests: no settings, no keyring, no browser, no proxy, no credentials.
        self.environment = {
            "HOME": str(home),
            "PATH": os.pathsep.join(dict.fromkeys(map(str, programs))),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }

    def types(self, *command: str, **variables: str) -> Terminal:
        """A command line, running in a terminal."""
        return Terminal(["hoop-mitm", *command], cwd=self.place, environment=self.environment | variables)

    def sees(self, *command: str, status: int = 0) -> str:
        """All that a command shows until it has ended."""
        with self.types(*command) as terminal:
            shown = terminal.finish()
        assert terminal.status == status, shown
        assert "Traceback" not in shown
        return shown

    def stop(self) -> None:
        """Ends the gateway that `run` has left running, as its log-out would."""
        for process in psutil.process_iter():
            try:
                mine = any(part.startswith(str(self.home)) for part in process.cmdline())
                if mine and "hoop_mitm.client.standby" in process.cmdline():
                    process.send_signal(signal.SIGTERM)
                    process.wait(300)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    browser.needed()
    try:
        made = Newcomer(tmp_path / "home")
    except NotHere as reason:
        pytest.skip(str(reason))
    yield made
    made.stop()


def options(world: World) -> Sequence[str]:
    """What the newcomer was told by their administrator. The last two lines are what makes the world a local one."""
    hosts = [part for name, target in world.hosts.items() for part in ("--upstream-host", f"{name}={target}")]
    return [
        *("--issuer", world.issuer.url, "--client-id", CLIENT_ID, "--project", world.project),
        *("--credential", "federation", "--pool", WORKFORCE_AUDIENCE, "--listen", f"127.0.0.1:{free_port()}"),
        *("--issuer-ca", str(world.ca), "--upstream-ca", str(world.ca)),
        *hosts,
    ]


def signs_in_on_a_device(newcomer: Newcomer, world: World, user: str) -> str:
    """`login` shows a code, which is entered in a browser that could be anywhere; what the terminal says."""
    with newcomer.types("login") as terminal:
        page, code = terminal.until(r"enter the code ([A-Z]{4}-[A-Z]{4}):\s+(https://\S+)").group(2, 1)
        with browser.open_browser(browser.trusting(page, world.ca)) as opened:
            tab = opened.new_page()
            tab.set_default_timeout(60_000)
            tab.goto(page)
            tab.get_by_label("The code that your device shows").fill(code)
            tab.get_by_role("button", name="Next").click()
            expect(tab.locator("body")).to_contain_text(f"A device that shows {code} wants to sign in")
            chooses(tab, user)
            expect(tab.get_by_role("heading")).to_have_text("Signed in")
        shown = terminal.finish()
    assert terminal.status == 0, shown
    return shown


def signs_in_here(newcomer: Newcomer, world: World, user: str) -> str:
    """`login` opens the browser of this machine, which is sent back to it; what the terminal says."""
    place = newcomer.home / "browser"
    program = browser.launcher(place, browser.trusting(world.issuer.url, world.ca))
    with newcomer.types("login", BROWSER=str(program)) as terminal:
        with browser.launched(place) as tab:
            expect(tab.locator("body")).to_contain_text("Who are you?")
            chooses(tab, user)
            expect(tab.get_by_role("heading")).to_have_text("Back to the terminal")
            assert tab.url.startswith("http://127.0.0.1:")
            terminal.until("Signed in as")  # It does not wait for the browser to be closed.
        shown = terminal.finish()
    assert terminal.status == 0, shown
    assert "Sign in with the browser that has just opened" in shown
    return shown


def chooses(tab: Page, user: str) -> None:
    tab.get_by_role("button", name=f"Sign in as {user}").click()


WAYS = {"with a code": signs_in_on_a_device, "with the browser": signs_in_here}


@pytest.mark.timeout(900)  # Seven programs and a browser, beside whatever else is tested.
@pytest.mark.parametrize("sign_in", WAYS.values(), ids=WAYS.keys())
def test_from_nothing_to_a_recorded_query(newcomer: Newcomer, world: World, sign_in: SignIn) -> None:
    made = newcomer.sees("init", *options(world))
    assert "issuer: ok" in made
    assert "Next: hoop-mitm login" in made

    signed_in = sign_in(newcomer, world, "alice")
    assert "Signed in as alice@acme.example. Your tokens are in a file that only you can read." in signed_in
    assert "Next: hoop-mitm run -- bq query" in signed_in

    asked = newcomer.sees(*BQ, STATEMENT)
    assert re.search(r"\| +1 \| Björn Ahmed \|\n\| +2 \| Diego Ahmed \|", asked), asked
    assert re.search(r"hoop-mitm: 1 job, 0 denied, .* billed; see: hoop-mitm show \w+", asked)

    listed = newcomer.sees("sessions")
    [line] = [line for line in listed.splitlines() if "alice@acme.example" in line]
    assert line.split()[1:4] == ["bq", "alice@acme.example", "bq"]

    shown = newcomer.sees("show", "@last")
    assert re.search(r"who +alice@acme.example +groups analysts", shown)
    assert re.search(r"program .*hoop-mitm › bq", shown)
    assert re.search(r"what +1 job, none denied", shown)
    assert re.search(r"#1 .* ok +SELECT +2 rows", shown)
    assert STATEMENT in shown

    assert "You are signed out; your tokens are deleted." in newcomer.sees("logout")
    refused = newcomer.sees(*BQ, STATEMENT, status=1)
    assert "You are not signed in" in refused
    assert "Run `hoop-mitm login`." in refused
    assert "Björn" not in refused
