"""``hoop-mitm token``."""

from pathlib import Path

import click

from hoop_mitm.cli.options import client_option


@click.command(
    epilog="""\b
Examples:
  hoop-mitm token
  curl -H "Authorization: Bearer $(hoop-mitm token)" …
  hoop-mitm token --format executable
"""
)
@client_option
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "executable"]),
    default="text",
    show_default=True,
    help="text: the token alone. executable: what Google's client libraries expect of a program that gives tokens.",
)
def token(client: Path | None, shape: str) -> None:
    """Print a fresh ID token of yours.

    It is renewed when it is about to end. In the form `executable` a failure is an answer too, and the exit status is
    0: Google's libraries show its message to whoever is waiting.
    """
    from hoop_mitm.errors import HoopError
    from hoop_mitm.login import executable, load_profile, tokens_of

    try:
        tokens = tokens_of(load_profile(client))
    except HoopError as error:
        if shape == "text":
            raise
        click.echo(executable.failure(error))
    else:
        click.echo(executable.success(tokens) if shape == "executable" else tokens.id_token)
