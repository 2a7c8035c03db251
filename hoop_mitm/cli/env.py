"""``hoop-mitm env``."""

from pathlib import Path

import click

from hoop_mitm.cli.outfit import dressed, outfit_options


@click.command(
    epilog="""\b
Examples:
  eval "$(hoop-mitm env)"
  hoop-mitm env --shell fish | source
  hoop-mitm env --shell powershell | Out-String | Invoke-Expression
  hoop-mitm env --shell dotenv > .env
"""
)
@click.option(
    "--shell",
    type=click.Choice(["sh", "fish", "powershell", "dotenv", "json"]),
    default="sh",
    show_default=True,
    help="Who reads it; sh is bash and zsh as well. In json, what must not be set is null.",
)
@click.option("--session", "name", default="env", show_default=True, help="What the session is called in recordings.")
@outfit_options
def env(
    *,
    shell: str,
    name: str,
    connection: str | None,
    project: str | None,
    identity: str,
    client: Path | None,
) -> None:
    """Print the variables with which BigQuery is asked through the gateway.

    They are those of `hoop-mitm run`: a session of its own, which ends when it has been idle for long, and starts anew
    when it is used again. The gateway itself is not started; `hoop-mitm setup cursor --service` has it run always.
    """
    from hoop_mitm.client.shells import WRITERS
    from hoop_mitm.errors import ConfigError

    with dressed(client, name, connection=connection, project=project, identity=identity, start=None) as outfit:
        try:
            text = WRITERS[shell](outfit.variables, outfit.unset)
        except ValueError as error:
            raise ConfigError(f"{error}; use another --shell") from error
        click.echo(text, nl=False)
