"""An engineer's machine, as far as a test needs one: a home of its own, a client file, and a login."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jwt
import psutil
from ruamel.yaml import YAML

from hoop_mitm.client import BYPASSES, client_environment
from hoop_mitm.devkit.issuer import CLIENT_ID
from hoop_mitm.login import ClientProfile, Tokens, TokenStore, load_profile
from tests.gateways import RunningGateway
from tests.waiting import until

_CLI = "import sys; from hoop_mitm.cli import main; main(prog_name='hoop-mitm')"
_SET_BY_US = {
    *client_environment("", Path(), Path(), "", {}),
    *BYPASSES,
    *("HOOP_DB", "HOOP_CLIENT", "HOOP_CONFIG", "HOOP_SESSION", "BIGQUERYRC", "CLOUDSDK_CONFIG", "SSL_CERT_DIR"),
    *("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
    *("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
}


class Laptop:
    """``gateway`` need not be running: its client file knows how to start it.

    ``profile`` is laid over the client file by top-level key.
    """

    def __init__(self, home: Path, gateway: RunningGateway, profile: Mapping[str, Any] = {}) -> None:
        self.home = home
        self.gateway = gateway
        self.client_file = home / ".config" / "hoop-mitm" / "client.yaml"
        self.client_file.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "issuer": gateway.world.issuer.url,
            "client_id": CLIENT_ID,
            "ca": str(gateway.world.ca),  # type: ignore[attr-defined] # the local world has one
            "store": "file",
            "gateway": {"url": gateway.url, "config": str(gateway.config_file)},
            "connections": {"acme": [gateway.world.project]},
            **profile,
        }
        with self.client_file.open("w") as file:
            YAML().dump(document, file)
        self.environment = {name: value for name, value in os.environ.items() if name not in _SET_BY_US} | {
            "HOME": str(home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    @property
    def profile(self) -> ClientProfile:
        return load_profile(self.client_file)

    @property
    def state(self) -> Path:
        return self.home / ".local" / "state" / "hoop-mitm"

    def sign_in(self, user: str = "alice", lifetime: timedelta = timedelta(hours=1)) -> None:
        """As `hoop-mitm login` would have left it."""
        token = self.gateway.world.issuer.token(user, lifetime=lifetime)
        claims = jwt.decode(token, options={"verify_signature": False})
        with patch.dict(os.environ, self.environment, clear=True):
            TokenStore(self.profile).save(Tokens(token, claims["exp"], claims["iat"]))

    def hoop(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs `hoop-mitm` to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment | variables,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def command(self, *arguments: str | Path) -> Sequence[str]:
        return [sys.executable, "-c", _CLI, *map(str, arguments)]

    def gateways(self) -> list[psutil.Process]:
        """The gateways that were started here in the background, and run."""
        found, parents = [], {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = process.cmdline()
                if "hoop_mitm.client.standby" in line and any(part.startswith(str(self.state)) for part in line):
                    parents[process.pid] = process.ppid()
                    found.append(process)
        # A program that one of them starts looks like itself for a moment.
        return [process for process in found if parents[process.pid] not in parents]

    def stop_gateways(self) -> None:
        for process in self.gateways():
            process.send_signal(signal.SIGTERM)
        until(lambda: not self.gateways())
