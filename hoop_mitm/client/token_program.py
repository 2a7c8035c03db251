"""The small program that a client library runs for a token.

A script of its own, because libraries split command lines each in their own way, and because an MCP server that an
editor starts has next to no environment: it is told which client file holds, and where the keyring is.
"""

import shlex
import sys
from pathlib import Path

from hoop_mitm.client.credentials_file import Executable
from hoop_mitm.login.profile import CHAINED

_SCRIPT = """\
#!/bin/sh
# Written by hoop-mitm: gives Google's client libraries a fresh ID token of whoever is signed in (AIP-4117).
touch -c "${{0%/*}}" 2>/dev/null
: "${{XDG_RUNTIME_DIR:=/run/user/$(id -u)}}"
export XDG_RUNTIME_DIR
if [ -z "${{DBUS_SESSION_BUS_ADDRESS:-}}" ] && [ -S "$XDG_RUNTIME_DIR/bus" ]; then
    export DBUS_SESSION_BUS_ADDRESS="unix:path=$XDG_RUNTIME_DIR/bus"
fi
{chained}exec {command} 2>/dev/null
"""


def write_token_program(path: Path, client_file: Path, proxy: str | None = None) -> Executable:
    """Write the program to ``path``; it signs in as the client file says.

    ``proxy`` is the company's own, if there is one: a client's proxy is the gateway, which a login is not renewed
    through. It may hold a password; the file is its owner's alone.
    """
    # -I: neither the directory that a client runs in nor PYTHONPATH can put other code in its place.
    command = [sys.executable, "-I", "-m", "hoop_mitm.cli", "token", "--client", str(client_file.absolute())]
    given = f'[ -n "${{{CHAINED}:-}}" ] || {CHAINED}={shlex.quote(proxy)}\nexport {CHAINED}\n' if proxy else ""
    text = _SCRIPT.format(command=shlex.join([*command, "--format", "executable"]), chained=given)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o700)
    path.write_text(text)
    path.chmod(0o700)
    return Executable(path)
