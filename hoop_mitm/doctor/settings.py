"""Is what `hoop-mitm setup` wrote into editors' settings still there, and does it still say what is right?"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hoop_mitm.client.bundle import certificates_in
from hoop_mitm.doctor.finding import Finding
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.errors import ConfigError
from hoop_mitm.setup.editors import cursor_servers
from hoop_mitm.setup.jsonc import parse, value_of
from hoop_mitm.setup.note import Note, all_noted
from hoop_mitm.setup.servers import servers_in

_AGAIN = "hoop-mitm setup cursor (or setup mcp --file, for another file); it takes back the old values first."


def settings(patient: Patient) -> Iterator[Finding]:
    """Each file that was set up."""
    for note in all_noted():
        yield from _of(note, patient)
    yield from _own_keys(cursor_servers(patient.environment))


def _of(note: Note, patient: Patient) -> Iterator[Finding]:
    try:
        now = value_of(parse(note.path.read_bytes().decode()))
    except (OSError, ValueError):
        yield Finding(
            "settings.unreadable",
            "warning",
            f"{note.path}, which was set up for the gateway, is gone or no longer JSON.",
            "Its programs do not go through the gateway any more.",
            f"{_AGAIN} Or forget it: hoop-mitm setup cursor --remove",
        )
        return
    put = {name: value for change in note.changes for name, value in _leaves(change.path, change.values)}
    gone = [names for names, value in put.items() if _at(now, names) != value]
    if gone:
        yield Finding(
            "settings.changed",
            "warning",
            f"In {note.path}, {len(gone)} of the values that were set up are gone or changed, such as "
            f"{' › '.join(gone[0])}.",
            "Its programs may go past the gateway.",
            _AGAIN,
        )
    values = {names[-1]: value for names, value in put.items() if isinstance(value, str)}
    yield from _stale(note, values, patient)


def _stale(note: Note, values: Mapping[str, str], patient: Patient) -> Iterator[Finding]:
    why = None
    if values.get("HTTPS_PROXY", patient.url) != patient.url:
        why = f"it leads to {values['HTTPS_PROXY']}, and the gateway is at {patient.url}"
    elif missing := [value for value in values.values() if value.startswith("/") and _is_gone(value)]:
        why = f"it names {missing[0]}, which is not there any more"
    elif not _has_authority(values, patient):
        why = f"it names roots ({values.get('SSL_CERT_FILE')}) that lack the gateway's authority, which was renewed"
    elif program := _broken_program(values):
        why = f"its token program runs {program}, which is not there any more"
    if why:
        yield Finding(
            "settings.stale",
            "broken",
            f"What was set up in {note.path} is out of date: {why}.",
            "Its programs do not reach BigQuery.",
            _AGAIN,
        )


def _is_gone(path: str) -> bool:
    """A file that a variable names. A directory of gcloud's, or a recording, comes with its first use."""
    return path.endswith((".pem", "credentials.json", "bigqueryrc")) and not Path(path).exists()


def _has_authority(values: Mapping[str, str], patient: Patient) -> bool:
    bundle = values.get("SSL_CERT_FILE")
    try:
        return bundle is None or certificates_in(patient.authority) <= certificates_in(Path(bundle))
    except ConfigError:
        return True  # Said elsewhere.


def _broken_program(values: Mapping[str, str]) -> str | None:
    script = Path(values.get("GOOGLE_APPLICATION_CREDENTIALS", "/")).with_name("token")
    try:
        found = re.search(r"^exec (.*) 2>/dev/null$", script.read_text(), re.MULTILINE)
    except OSError:
        return None
    interpreter = shlex.split(found[1])[0] if found else None
    return interpreter if interpreter and not Path(interpreter).exists() else None


def _leaves(path: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        names = (*path, key) if key else path
        if isinstance(value, dict):
            yield from _leaves(names, value)
        else:
            yield names, value


def _at(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _own_keys(file: Path) -> Iterator[Finding]:
    try:
        servers = list(servers_in(value_of(parse(file.read_bytes().decode()))))
    except (OSError, ValueError):
        return
    for server in servers:
        if server.asks_bigquery and (key := server.own_key):
            yield Finding(
                "settings.own_key",
                "warning",
                f"The MCP server {server.name} in {file} has a Google key of its own ({key}).",
                "It shows that key instead of your login: past the gateway it works, through it, it is refused.",
                f"Take {key} out of its entry, and hoop-mitm setup cursor.",
            )
