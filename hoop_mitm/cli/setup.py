"""``hoop-mitm setup``."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoop_mitm.cli.options import client_option

if TYPE_CHECKING:
    from hoop_mitm.client.outfit import Outfit
    from hoop_mitm.login import ClientProfile
    from hoop_mitm.setup.note import Plan
    from hoop_mitm.setup.servers import Server

type Edits = list[tuple[tuple[str, ...], Mapping[str, Any]]]

_SERVICE_SECONDS = 30


@click.command(
    epilog="""\b
Examples:
  hoop-mitm setup cursor
  hoop-mitm setup cursor --terminal --service
  hoop-mitm setup cursor --remove
  hoop-mitm setup mcp --file ~/.config/Claude/claude_desktop_config.json
  hoop-mitm setup mcp --file .vscode/mcp.json --server warehouse
"""
)
@click.argument("what", type=click.Choice(["cursor", "mcp"]))
@click.option(
    "--file",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A file that lists MCP servers, of whatever editor, instead of Cursor's own.",
)
@click.option("--server", "servers", multiple=True, help="A server to set up that is not known to talk to BigQuery.")
@click.option("--terminal", is_flag=True, help="Also what is typed, and what agents run, in Cursor's own terminal.")
@click.option("--service", is_flag=True, help="Have the gateway run always: a service of your session, started now.")
@click.option("--remove", is_flag=True, help="Take everything back; with --service, the service too.")
@click.option("--connection", help="One of the client file's connections; default: the first.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@client_option
def setup(
    *,
    what: str,
    files: tuple[Path, ...],
    servers: tuple[str, ...],
    terminal: bool,
    service: bool,
    remove: bool,
    connection: str | None,
    yes: bool,
    client: Path | None,
) -> None:
    """Tell an editor's programs to ask BigQuery through the gateway.

    By default only MCP servers that talk to BigQuery are told, by the variables of their own entries: nothing else on
    the machine, and nothing else of the editor, goes another way than before. The change is shown first, the files
    are kept as they were, and --remove brings them back to the byte.
    """
    if what == "mcp" and not files and not remove:
        raise click.UsageError("Say which file lists the servers: --file PATH")
    if remove:
        _remove(files, service=service, yes=yes)
        return
    from hoop_mitm.login import load_profile

    profile = load_profile(client)
    outfit = _outfit(profile, client, connection)
    plans = _plans(files, servers, outfit, terminal=terminal)
    if plans:
        _show_and_do(plans, "Write this?", yes=yes)
    if service:
        _install(profile)
    elif plans:
        _say_whether_it_runs(profile)
    if not plans and not service:
        click.get_current_context().exit(1)


def _outfit(profile: "ClientProfile", client: Path | None, connection: str | None) -> "Outfit":
    from hoop_mitm.client.outfit import fit_out, source_of
    from hoop_mitm.client.place import home
    from hoop_mitm.login.profile import chosen_file

    # No session: the gateway makes one of each time that an editor is used.
    directory = home() / "editors" / (connection or profile.connection)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    source = source_of("login", profile, chosen_file(client), directory, os.environ)
    return fit_out(profile, source, directory, os.environ, connection=connection)


def _plans(files: tuple[Path, ...], names: tuple[str, ...], outfit: "Outfit", *, terminal: bool) -> "list[Plan]":
    from hoop_mitm.setup import editors
    from hoop_mitm.setup.note import plan_put

    plans = []
    unknown = set(names)
    for file in files or (editors.cursor_servers(),):
        edits = _server_edits(file, names, outfit, unknown)
        if edits:
            plans.append(plan_put(file, edits))
    if unknown:
        raise click.UsageError(f"There is no server {', '.join(sorted(unknown))} in what was read.")
    if terminal:
        variables = {**dict.fromkeys(outfit.unset), **outfit.variables}
        plans.append(plan_put(editors.cursor_settings(), [((editors.terminal_variables(),), variables)]))
    return plans


def _server_edits(file: Path, names: tuple[str, ...], outfit: "Outfit", unknown: set[str]) -> Edits:
    from hoop_mitm.setup import SettingsFile, parse, value_of
    from hoop_mitm.setup.servers import servers_in

    read = SettingsFile.read(file)
    if read.data is None:
        _say(f"There is no {file}, so no MCP servers are set up there.")
        return []
    found = list(servers_in(value_of(parse(read.text))))
    unknown.difference_update(server.name for server in found)
    meant = [server for server in found if server.name in names or server.asks_bigquery]
    if not meant:
        listed = ", ".join(server.name for server in found) or "none at all"
        _say(f"{file} has no MCP server that is known to talk to BigQuery (it has: {listed}). Name one with --server.")
    return [edit for server in meant for edit in _edit(server, outfit)]


def _edit(server: "Server", outfit: "Outfit") -> Edits:
    why = {
        "container": "it runs in a container, which neither this machine's variables nor its loopback reach. "
        "docs/recipes/mcp.md says how to do that by hand",
        "remote": "it is not a program on this machine: the gateway does not see what it asks",
        "other": "it has no command",
    }.get(server.kind)
    if why:
        _say(f"{server.name} is left as it is: {why}.")
        return []
    if server.own_key:
        _say(
            f"{server.name} has a Google key of its own ({server.own_key}), which leads past the gateway. Take it out, "
            "or the gateway refuses what it asks."
        )
    return [((*server.holder, server.name, "env"), outfit.variables)]


def _remove(files: tuple[Path, ...], *, service: bool, yes: bool) -> None:
    from hoop_mitm.setup.note import all_noted, noted, plan_remove

    notes = [note for note in map(noted, files) if note] if files else all_noted()
    plans = [plan_remove(note.path) for note in notes]
    if plans:
        _show_and_do(plans, "Take this back?", yes=yes)
    for plan in plans:
        for names in plan.left:
            _say(f"{plan.file.path}: {' › '.join(names)} was changed by somebody since, and is left.")
    removed = service and _remove_service()
    if not plans and not removed:
        _say("There is nothing to take back.")


def _show_and_do(plans: "list[Plan]", question: str, *, yes: bool) -> None:
    pending = [plan for plan in plans if not plan.changes_nothing]
    for plan in pending:
        click.echo(plan.diff(), nl=False)
    if pending and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody is here to be asked. Say --yes to have it written.")
        if not click.confirm(question, err=True):
            click.get_current_context().exit(1)
    for plan in plans:
        plan.carry_out()
        if plan.changes_nothing:
            _say(f"{plan.file.path} is as it should be.")
        elif plan.note:
            _say(f"Written: {plan.file.path} (as it was: {plan.note.backup}).")
        else:
            _say(f"{plan.file.path} is as it was.")


def _install(profile: "ClientProfile") -> None:
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.client.keeper import Keeper
    from hoop_mitm.errors import ConfigError
    from hoop_mitm.setup.service import service_for

    if profile.gateway.config is None:
        raise ConfigError("the gateway is not started on this machine: the client file names no gateway.config")
    service = service_for(profile.gateway.config)
    with Keeper(profile) as keeper, progress("Starting the gateway"):
        keeper.look()
        keeper.retire()
        service.install()
        keeper.await_it(service.log)
    _say(f"The gateway runs, and will at each log-in ({service.file}). Its log: {service.log}")


def _remove_service() -> bool:
    from hoop_mitm.setup.service import service_for

    service = service_for(Path("hoop.yaml"))
    removed = service.remove()
    if removed:
        _say(f"The service is stopped and removed ({service.file}).")
    return removed


def _say_whether_it_runs(profile: "ClientProfile") -> None:
    from hoop_mitm.client.keeper import Keeper

    with Keeper(profile) as keeper:
        if not (found := keeper.look()):
            _say(
                f"There is no gateway at {profile.gateway.url} now: {found.why}. `hoop-mitm setup cursor --service` has "
                "it run always; until then these servers do not reach BigQuery."
            )
    _say("Restart the editor, or its MCP servers, to have them take it up.")


def _say(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)
