"""Sees to it that the gateway runs while somebody needs it: finds it, or starts it, and never takes another for it."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import psutil

from hoop_mitm.client.bundle import combined_bundle
from hoop_mitm.client.outfit import authority_of
from hoop_mitm.client.place import home
from hoop_mitm.client.probe import Found, address_of, probe
from hoop_mitm.client.upstream import upstream_of
from hoop_mitm.config import Config, load, writing
from hoop_mitm.errors import ConfigError, NoGateway
from hoop_mitm.login import ClientProfile

LINGER = 1800.0
"""Seconds that a gateway which we started stays when nobody uses it: as long as a session may be idle."""

_STANDBY = "hoop_mitm.client.standby"
# One that dies is noticed at once; on a busy machine one that lives may take long.
_START_SECONDS = 120
_STOP_SECONDS = 90
_LOG_LINES_SHOWN = 8


class Keeper:
    """Holds on to the gateway as a context manager: one that was started for us stays at least as long.

    Args:
        profile: where the gateway is, and how it is started.
        existing: the environment; a proxy that it names is the gateway's own way out.
        linger: seconds that a gateway which is started here stays when nobody uses it.
    """

    def __init__(
        self, profile: ClientProfile, existing: Mapping[str, str] = os.environ, *, linger: float = LINGER
    ) -> None:
        self._profile = profile
        self._existing = existing
        self._linger = linger
        self._url = profile.gateway.url
        self._directory = home() / "gateways" / "{}-{}".format(*address_of(self._url))
        self._held = ExitStack()
        self.log = self._directory / "gateway.log"
        self.started = False

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        users = self._held.enter_context((self._directory / "users").open("a"))
        fcntl.flock(users, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def ensure(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Return when the gateway listens. Two that ask at once get the same.

        Raises:
            NoGateway: a stranger listens in its place, or nobody does and it cannot be started here.
            ConfigError: its configuration is wrong.
        """
        if self._listens():
            return
        with (self._directory / "starting").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._listens():
                return
            progress("Starting the gateway")
            self._start()

    def retire(self) -> None:
        """End a gateway that was started here in the background, so that another way of running it can take over."""
        pid = self._pid()
        if pid is None:
            return
        process = psutil.Process(pid)
        process.terminate()
        process.wait(_STOP_SECONDS)

    def await_it(self, log: str) -> None:
        """Return when the gateway listens that somebody else has started; ``log`` says where its log is.

        Raises:
            NoGateway: it does not within two minutes.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if time.monotonic() > deadline:
                raise NoGateway(f"The gateway does not answer at {self._url}. Its log: {log}")
            time.sleep(0.1)

    def _pid(self) -> int | None:
        """The process of the gateway that was started here, while it lives."""
        with suppress(OSError, ValueError, psutil.Error):
            pid = int((self._directory / "pid").read_text())
            if _STANDBY in psutil.Process(pid).cmdline():
                return pid
        return None

    def unchained(self) -> str | None:
        """Why the environment's own proxy is not on the gateway's way out, in words; ``None`` when all is well.

        Ask when it listens. It can be told of a gateway that is configured, or was started, by this user only.
        """
        found = upstream_of(self._existing, self._url)
        if found is None or self._profile.gateway.config is None:
            return None
        config = load(self._profile.gateway.config)
        mine = self._directory / "hoop.yaml"
        known = [config, *([load(mine)] if mine.is_file() else [])]
        if any((each.gateway.upstream.proxy or "").rstrip("/") == found.url for each in known):
            return None
        return (
            f"The gateway that runs at {self._url} does not use the proxy that was set here ({found.shown}). If it "
            f"needs it to reach Google, write it under gateway.upstream.proxy in {self._profile.gateway.config}, and "
            "start it again."
        )

    def look(self) -> Found:
        """Who listens where clients are sent: the gateway, or nobody.

        Raises:
            NoGateway: a stranger; nothing was sent to it.
            ConfigError: the gateway's authority is not known here.
        """
        found = probe(self._url, authority_of(self._profile))
        if found.listener == "stranger":
            raise NoGateway(
                f"What listens at {self._url} is not your gateway: {found.why}. Nothing was sent to it. End that "
                "program, or let the gateway listen elsewhere (gateway.listen in hoop.yaml, gateway.url in the client "
                "file)."
            )
        return found

    def _listens(self) -> bool:
        config = self._profile.gateway.config
        if config is not None and not _knows_authority(self._profile):
            return False  # Its first start makes the authority.
        found = self.look()
        if not found and config is None:
            raise NoGateway(
                f"There is no gateway at {self._url}: {found.why}. It is not started on this machine; ask its owner."
            )
        return bool(found)

    def _start(self) -> None:
        assert self._profile.gateway.config
        config = load(self._profile.gateway.config)
        if config.gateway.address[1] != address_of(self._url)[1]:
            raise ConfigError(
                f"the gateway would listen on {config.gateway.listen}, but the client file says {self._url}: make "
                "them the same",
                file=self._profile.gateway.config,
            )
        file, users = self._configuration(config), self._directory / "users"
        program = [sys.executable, "-I", "-m", _STANDBY]
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*program, str(file), str(users), str(self._linger)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=file.parent,
                env=self._environment(),
                # It outlives us: Ctrl-C at our terminal is not for it, and others may use it by then.
                start_new_session=True,
            )
        (self._directory / "pid").write_text(str(process.pid))
        self.started = True
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if process.poll() is not None:
                raise NoGateway(f"The gateway did not start. The end of its log, {self.log}:\n{self._end_of_log()}")
            if time.monotonic() > deadline:
                process.terminate()
                raise NoGateway(f"The gateway did not start within {_START_SECONDS} s. Its log is {self.log}.")
            time.sleep(0.05)

    def _configuration(self, config: Config) -> Path:
        """The file to start with: the owner's own, or where a proxy is chained in, one made from it."""
        assert self._profile.gateway.config
        found = upstream_of(self._existing, self._url)
        mine = self._directory / "hoop.yaml"
        upstream = config.gateway.upstream
        if found is None or upstream.proxy is not None:
            mine.unlink(missing_ok=True)
            return self._profile.gateway.config.absolute()
        changes: dict[str, object] = {"proxy": found.url, "no_proxy": (*upstream.no_proxy, *found.no_proxy)}
        if upstream.ca is None:
            # A company's proxy that opens TLS is trusted by what the environment names.
            changes["ca"] = combined_bundle(self._directory / "upstream.pem", None, self._existing)
        gateway = config.gateway.model_copy(update={"upstream": upstream.model_copy(update=changes)})
        says = f"Written by hoop-mitm run from {self._profile.gateway.config}, for the proxy that was set there."
        return writing.write(config.model_copy(update={"gateway": gateway}), mine, says)

    def _environment(self) -> dict[str, str]:
        """What the gateway is started with: nothing of what a client of ours was given."""
        ours = str(home())
        return {
            name: value
            for name, value in self._existing.items()
            if not name.startswith("HOOP_") and not value.startswith(ours)
        } | {"PYTHONUNBUFFERED": "1"}

    def _end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:])


def _knows_authority(profile: ClientProfile) -> bool:
    try:
        authority_of(profile)
    except ConfigError:
        return False
    return True
