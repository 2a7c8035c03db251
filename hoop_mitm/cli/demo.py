"""``hoop-mitm demo``: the whole way of a session, told on one screen."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hoop_mitm.devkit.sandbox import Sandbox

_PIPED_WIDTH = 140

_NOBODY = """
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

client = bigquery.Client(credentials=AnonymousCredentials())
try:
    client.query_and_wait("SELECT email, salary FROM shop.employees")
except GoogleAPICallError as error:
    print(f"{type(error).__name__}: {error.message}")
else:
    raise SystemExit("it was let in")
"""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  hoop-mitm demo
  hoop-mitm demo --dir /tmp/try
""",
)
@click.option(
    "--dir",
    "directory",
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the recording goes: DIR/recordings.  [default: this directory]",
)
def demo(directory: Path) -> None:
    """See a whole recorded session in under a minute.

    A scripted assistant asks questions of a small BigQuery on this machine, through the gateway and with Google's own
    clients. A client without a token is refused. The recording is then listed, shown, replayed and compared with a
    second one. It stays in DIR/recordings; a recording that is there already is added to.
    """
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    begin = time.monotonic()
    with _sandbox(console, directory / "recordings") as sandbox:
        _Story(console, sandbox).tell()
    _ending(console, sandbox.archive, time.monotonic() - begin)


@contextmanager
def _sandbox(console: "Console", recordings: Path) -> Iterator["Sandbox"]:
    """A sandbox whose files go away, but for the recording; after a failure they stay, for its logs."""
    from hoop_mitm.devkit.sandbox import Sandbox

    place = Path(tempfile.mkdtemp(prefix="hoop-mitm-demo-"))
    sandbox = Sandbox(place, recordings=recordings)
    try:
        with console.status("Starting …") as status:
            sandbox.start(
                lambda message: status.update(f"{message} …") if console.is_terminal else console.print(f"{message} …")
            )
        yield sandbox
    except BaseException:
        sandbox.stop()
        click.echo(f"Logs: {sandbox.logs}", err=True)
        raise
    with console.status("Stopping …"):
        sandbox.stop()
    shutil.rmtree(place, ignore_errors=True)


class _Story:
    def __init__(self, console: "Console", sandbox: "Sandbox") -> None:
        self._console = console
        self._sandbox = sandbox
        self._chapters = 0

    def tell(self) -> None:
        from hoop_mitm.devkit import seed

        self._chapter("Alice's assistant asks the shop's data", "It has no Google credential, only her sign-in.")
        self._agent("monday")
        self._chapter("A client without a token gets nothing", "What it sees is Google's own kind of error:")
        self._nobody()
        self._chapter("Everything was recorded", "These are ordinary commands; the gateway is still running.")
        self._command("sessions", "--limit", "5")
        self._command("show", "@last")
        self._command("replay", "@last", "--speed", "4", "--max-idle", "0.2")
        self._chapter("A day later, the same questions", "The data has changed. What was different?")
        seed.next_day(self._sandbox.world.emulator)
        self._agent("tuesday")
        self._console.print()
        self._command("diff", "@last~1", "@last", fine=(0, 1))

    def _chapter(self, title: str, what: str) -> None:
        self._chapters += 1
        self._console.print()
        self._console.rule(f"[bold]{self._chapters}. {title}", align="left")
        self._console.print(f"[dim]{what}\n")

    def _agent(self, name: str) -> None:
        from rich.text import Text

        def show(line: str) -> None:
            asked = line.startswith("?")
            self._console.print(Text(f"alice {line}" if asked else line, style="bold" if asked else ""))

        self._run("-m", "hoop_mitm.devkit.agent", name=name, show=show)

    def _nobody(self) -> None:
        from rich.text import Text

        self._run("-c", _NOBODY, name="nobody", show=lambda line: self._console.print(Text(line, style="red")))

    def _run(self, *arguments: str, name: str, show: Callable[[str], None]) -> None:
        """Run an unmodified Python client in an environment of its own; what its libraries mutter goes to a log."""
        from hoop_mitm.errors import SandboxError

        log_file = self._sandbox.logs / f"{name}.log"
        with (
            log_file.open("w") as log,
            subprocess.Popen(  # noqa: S603 - our own client
                [sys.executable, *arguments],
                env=self._sandbox.environment(name),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as client,
        ):
            assert client.stdout
            for line in client.stdout:
                show(line.rstrip())
        if client.returncode:
            raise SandboxError(self._sandbox.broken() or f"The client {name} failed. Its log is {log_file}.")

    def _command(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> None:
        """Show one of our commands, and what it says."""
        from hoop_mitm.errors import SandboxError

        self._console.print(f"[green]$[/] [bold]{_program()} {' '.join(arguments)}")
        sys.stdout.flush()
        environment = {**os.environ, "HOOP_DB": str(self._sandbox.archive), "PYTHONWARNINGS": "ignore"}
        status = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "hoop_mitm.cli", *arguments], env=environment, check=False
        ).returncode
        if status not in fine:
            raise SandboxError(f"hoop-mitm {arguments[0]} failed, with exit status {status}.")
        self._console.print()


def _ending(console: "Console", archive: Path, seconds: float) -> None:
    shown = _relative(archive)
    at = "" if shown == Path("recordings/hoop.duckdb") else f"--db {shlex.quote(str(shown))} "
    console.rule("[bold]That was it", align="left")
    console.print(f"[dim]{seconds:.0f} s. The whole recording is one file:[/] [bold]{shown}\n")
    console.print("Try next:")
    for command, what in (
        (f"show {at}@last", "what alice's assistant did"),
        (f"replay {at}@last", "the same in its own rhythm"),
        ("sandbox -- python", "ask BigQuery yourself, recorded"),
    ):
        console.print(f"  [bold]{_program()} {command}[/]  [dim]{what}", soft_wrap=True)


def _program() -> str:
    """How this program can be called from here."""
    if (found := shutil.which("hoop-mitm")) and Path(found).parent == Path(sys.executable).parent:
        return "hoop-mitm"
    own = Path(sys.executable).parent / "hoop-mitm"
    return str(_relative(own)) if own.exists() else "hoop-mitm"


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
