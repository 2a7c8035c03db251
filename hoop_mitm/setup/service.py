"""The gateway as a service of the user's own session: systemd on Linux, launchd on a Mac.

It is started at log-in, started again whenever it ends, and knows nothing of the terminal that installed it.
"""

import os
import plistlib
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from hoop_mitm.errors import ConfigError, NoGateway

_LABEL = "dev.hoop-mitm.gateway"
_UNIT = "hoop-mitm.service"
_SECONDS = 30

_UNIT_TEXT = """\
# Written by `hoop-mitm setup … --service`; taken away by the same with --remove.
[Unit]
Description=hoop-mitm, the gateway between AI assistants and BigQuery
StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory={directory}
Restart=always
RestartSec=2
# Its configuration is wrong: starting again will not help.
RestartPreventExitStatus=2
# It writes what is under way.
TimeoutStopSec=30
UMask=0077
NoNewPrivileges=yes
Environment=PYTHONUNBUFFERED=1

[Install]
WantedBy=default.target
"""


class Service(ABC):
    """``config`` is the gateway's ``hoop.yaml``."""

    #: The file that describes it.
    file: Path

    def __init__(self, config: Path) -> None:
        self.config = config.absolute()
        self.command = [sys.executable, "-I", "-m", "hoop_mitm.cli", "proxy", "--config", str(self.config)]

    @abstractmethod
    def text(self) -> str:
        """What the file holds."""

    @abstractmethod
    def start(self) -> None:
        """Make the system take the file up, and start what it describes (again).

        Raises:
            NoGateway: the system's service manager does not.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop it, and have it started no more; nothing happens where there is none."""

    @property
    def log(self) -> str:
        """How to read its log, as a command."""
        return f"journalctl --user -u {_UNIT}"

    def install(self) -> None:
        """Write the file and start the service.

        Raises:
            NoGateway: the service manager does not start it.
            ConfigError: the file cannot be written.
        """
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(self.text())
        except OSError as error:
            raise ConfigError(f"this file cannot be written: {error.strerror}", file=self.file) from None
        self.start()

    def remove(self) -> bool:
        """Stop the service and remove its file; whether there was one."""
        there = self.file.exists()
        if there:
            self.stop()
            self.file.unlink()
        return there


class Systemd(Service):
    """A unit of the user's own systemd."""

    def __init__(self, config: Path) -> None:
        super().__init__(config)
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        self.file = Path(base) / "systemd" / "user" / _UNIT

    def text(self) -> str:
        command = " ".join(map(_unit_quoted, self.command))
        return _UNIT_TEXT.format(command=command, directory=_unit_path(self.config.parent))

    def start(self) -> None:
        _tell("systemctl", "--user", "daemon-reload")
        _tell("systemctl", "--user", "enable", _UNIT)
        _tell("systemctl", "--user", "restart", _UNIT)

    def stop(self) -> None:
        _tell("systemctl", "--user", "disable", "--now", _UNIT, may_fail=True)


class Launchd(Service):
    """An agent of the user's own launchd."""

    def __init__(self, config: Path) -> None:
        super().__init__(config)
        self.file = Path.home() / "Library" / "LaunchAgents" / f"{_LABEL}.plist"
        self._log = Path.home() / "Library" / "Logs" / "hoop-mitm.log"
        self._domain = f"gui/{os.getuid()}"

    @property
    def log(self) -> str:
        return f"tail {self._log}"

    def text(self) -> str:
        return plistlib.dumps(
            {
                "Label": _LABEL,
                "ProgramArguments": self.command,
                "WorkingDirectory": str(self.config.parent),
                "EnvironmentVariables": {"PYTHONUNBUFFERED": "1"},
                "RunAtLoad": True,
                "KeepAlive": True,
                "ThrottleInterval": 5,
                "ExitTimeOut": 30,
                "Umask": 0o077,
                "StandardOutPath": str(self._log),
                "StandardErrorPath": str(self._log),
            }
        ).decode()

    def start(self) -> None:
        _tell("launchctl", "bootout", f"{self._domain}/{_LABEL}", may_fail=True)
        _tell("launchctl", "bootstrap", self._domain, str(self.file))

    def stop(self) -> None:
        _tell("launchctl", "bootout", f"{self._domain}/{_LABEL}", may_fail=True)


def service_for(config: Path, platform: str = sys.platform) -> Service:
    """The service on this system.

    Raises:
        NoGateway: there is no service manager that is known.
    """
    if platform == "darwin":
        return Launchd(config)
    if platform == "linux" and shutil.which("systemctl"):
        return Systemd(config)
    raise NoGateway(
        "This system has neither systemd nor launchd, so no service can be installed. Have what starts your programs "
        "run: hoop-mitm proxy"
    )


def _unit_quoted(word: str) -> str:
    """A word of a command line in a unit (systemd.service(5), systemd.unit(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _unit_path(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("%", "%%")


def _tell(*command: str, may_fail: bool = False) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - ours
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        failed = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, said = True, type(error).__name__
    if failed and not may_fail:
        raise NoGateway(f"The service was not started: `{' '.join(command)}` says: {said}")
