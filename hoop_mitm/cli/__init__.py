"""The command line: thin over the library, and quick to start, because nothing is imported before it is needed.

Exit codes: 0 fine; 1 the answer is "no"; 2 usage or configuration; 3 something cannot be reached or opened.
Only data goes to stdout.
"""

import difflib
import importlib
from collections.abc import Mapping
from typing import IO, Any

import click

from hoop_mitm import __version__
from hoop_mitm.errors import HoopError

#: The commands by section of the help text: name → (where its click command is, one line on what it does).
#: The line stands here so that help needs no import; a test holds it against the command's own.
COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Try it": {
        "demo": ("hoop_mitm.cli.demo:demo", "See a whole recorded session in under a minute."),
        "sandbox": ("hoop_mitm.cli.sandbox:sandbox", "Run a command against a BigQuery of your own, recorded."),
    },
    "Sign in": {
        "login": ("hoop_mitm.cli.login:login", "Sign in at your identity provider."),
        "logout": (
            "hoop_mitm.cli.logout:logout",
            "Sign out: at the gateway, at the identity provider, and on this machine.",
        ),
        "whoami": ("hoop_mitm.cli.whoami:whoami", "Say who is signed in, and what the gateway makes of it."),
        "token": ("hoop_mitm.cli.token:token", "Print a fresh ID token of yours."),
    },
    "Use BigQuery through the gateway": {
        "run": ("hoop_mitm.cli.run:run", "Run a command whose requests to BigQuery go through the gateway."),
        "env": ("hoop_mitm.cli.env:env", "Print the variables with which BigQuery is asked through the gateway."),
        "setup": ("hoop_mitm.cli.setup:setup", "Tell an editor's programs to ask BigQuery through the gateway."),
        "doctor": ("hoop_mitm.cli.doctor:doctor", "Say what is wrong with the set-up, and what to do about it."),
    },
    "Review requests": {
        "reviews": ("hoop_mitm.cli.reviews:reviews", "See requests that wait for a review, and decide on them."),
    },
    "Run the gateway": {
        "init": ("hoop_mitm.cli.init:init", "Describe a gateway, and make all that it needs."),
        "proxy": ("hoop_mitm.cli.proxy:proxy", "Run the gateway that hoop.yaml describes."),
        "policy": (
            "hoop_mitm.cli.policy:policy",
            "Check rules, see what they say of a statement, and try them on what was recorded.",
        ),
        "ca": ("hoop_mitm.cli.ca:ca", "Look at, renew or remove the gateway's certificate authority."),
        "keys": ("hoop_mitm.cli.keys:keys", "Look at and rotate the gateway's signing keys."),
        "migrate": ("hoop_mitm.cli.migrate:migrate", "Bring a recording of an older version up to date."),
        "retention": (
            "hoop_mitm.cli.retention:retention",
            "Delete what is older than hoop.yaml keeps it, hold sessions back from that, or erase a person.",
        ),
        "reconcile": (
            "hoop_mitm.cli.reconcile:reconcile",
            "Compare the recording with BigQuery's own list of jobs.",
        ),
    },
    "Read a recording": {
        "sessions": ("hoop_mitm.cli.sessions:sessions", "List the recorded sessions, newest first."),
        "show": ("hoop_mitm.cli.show:show", "Tell what happened in a session."),
        "search": (
            "hoop_mitm.cli.search:search",
            "Find statements, tables, errors, people and labels in all sessions, newest first.",
        ),
        "tail": ("hoop_mitm.cli.tail:tail", "Follow a recording as it grows."),
        "replay": ("hoop_mitm.cli.replay:replay", "Play a session back: who asked what, and what came back."),
        "rerun": (
            "hoop_mitm.cli.rerun:rerun",
            "Ask a session's jobs of BigQuery again, as yourself, and say what differs.",
        ),
        "serve": (
            "hoop_mitm.cli.serve:serve",
            "Serve a recorded session as a BigQuery, offline, to unmodified clients.",
        ),
        "export": (
            "hoop_mitm.cli.export:export",
            "Write a session in another program's format, or as a recording of its own.",
        ),
        "diff": ("hoop_mitm.cli.diff:diff", "Say what changed from session A to session B."),
        "verify": ("hoop_mitm.cli.verify:verify", "Say whether a recording is what its gateway wrote."),
        "import": (
            "hoop_mitm.cli.importing:import_",
            "Take the exchanges with BigQuery in a mitmproxy flow file into a recording, marked as imported.",
        ),
    },
}

_EXAMPLES = """\b
Examples:
  hoop-mitm demo
  hoop-mitm sandbox -- python my_client.py
  hoop-mitm run -- bq query --nouse_legacy_sql "SELECT 1"
  hoop-mitm proxy --set hoop_config=hoop.yaml
  hoop-mitm show @last
"""


class Failure(click.ClickException):
    """A :class:`HoopError` as the command line shows it: its own words, and its own exit code."""

    def __init__(self, error: HoopError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc] # click declares it for the class

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"hoop-mitm: {self.message}", file=file, err=file is None)


class LazyGroup(click.Group):
    """Loads a command when it is run, not before, and turns our errors into plain words."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click names it
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click names it
        for section in COMMANDS.values():
            if cmd_name in section:
                return load(section[cmd_name][0])
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], known, n=1)
            hint = f"Did you mean {close[0]}?" if close else "hoop-mitm --help lists them."
            raise click.UsageError(f"There is no command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click names it
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, summary) for name, (_, summary) in section.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HoopError as error:
            raise Failure(error) from error
        except KeyboardInterrupt:
            # What a shell reports for a program that Ctrl-C ended; 1 would mean "the answer is no".
            ctx.exit(130)


def load(target: str) -> click.Command:
    """The command at ``module:name``."""
    module, _, name = target.partition(":")
    command = getattr(importlib.import_module(module), name)
    assert isinstance(command, click.Command)
    return command


@click.group(
    cls=LazyGroup,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hoop-mitm", message="%(prog)s %(version)s")
def main() -> None:
    """A gateway between AI coding assistants and BigQuery.

    It knows who asks, holds the credential, and records everything.
    """


__all__ = ["COMMANDS", "Failure", "main"]
