"""A whole installation on loopback: an identity provider, a BigQuery, and the gateway between it and a client.

Below its directory: ``recordings/`` (journal and archive), ``client/`` (what a client is given), ``gateway/`` (keys
and certificates), ``world/`` (the identity provider's and BigQuery's), ``logs/``.
"""

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

from uuid_utils import uuid7

from hoop_mitm.client import child_environment, client_environment, write_credentials
from hoop_mitm.client.outfit import SESSION
from hoop_mitm.config import Config, load
from hoop_mitm.config.policy import PolicyWords
from hoop_mitm.devkit import gateway_config
from hoop_mitm.devkit.gateway_process import EntryPoint, GatewayProcess, free_port
from hoop_mitm.devkit.premises import Premises
from hoop_mitm.devkit.world import World
from hoop_mitm.errors import HoopError, SandboxError
from hoop_mitm.identity.audience import audience_for

_TOKEN_LIFETIME = timedelta(hours=1)
_TOKEN_REFRESH = timedelta(minutes=10)
_FOLD_SECONDS = 10

type Progress = Callable[[str], None]


class Installation:
    """Started and stopped as a context manager; also in pieces with ``start`` and ``stop``.

    Args:
        directory: where all its files go; it may be used again, and its recordings are added to.
        world: what stands in the place of Google and of the identity provider.
        user: whose token the client gets: ``alice``, ``bob`` or the machine ``ci``.
        own_config: somebody's own ``hoop.yaml``, used as :func:`gateway_config.for_sandbox` says.
        recordings: another place for journal and archive than ``directory/recordings``.
        entry_point: how the gateway is started.
    """

    policy: PolicyWords | None = None
    """What it goes by where nobody brings a ``hoop.yaml``."""

    def __init__(
        self,
        directory: Path,
        world: Premises,
        *,
        user: str = "alice",
        own_config: Path | None = None,
        recordings: Path | None = None,
        entry_point: EntryPoint = "proxy",
    ) -> None:
        self.directory = directory.absolute()
        self.recordings = (recordings or self.directory / "recordings").absolute()
        self.archive = self.recordings / "hoop.duckdb"
        self.logs = self.directory / "logs"
        self.user = user
        self.world = world
        self._own_config = own_config
        self._entry_point = entry_point
        self._client = self.directory / "client"
        self._token_file = self._client / "token.jwt"
        self._gateway: GatewayProcess | None = None
        self._config: Config | None = None
        self._stopping = threading.Event()
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, progress: Progress = lambda _: None) -> None:
        """Start everything; when this returns, clients can work. Stops what it started if something fails.

        Raises:
            SandboxError: a part did not start, or another sandbox runs in this directory.
            ConfigError: ``own_config`` is wrong.
        """
        own = load(self._own_config) if self._own_config else None
        try:
            self._claim_directory()
            self._start_world(progress)
            progress("Starting the gateway")
            self._config = self._configure(own)
            self._gateway = self._start_gateway()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, gateway first: what it has recorded is folded into the archive. May be called twice."""
        self._stopping.set()
        self._cleanup.close()

    @property
    def gateway(self) -> GatewayProcess:
        assert self._gateway, "the sandbox is not started"
        return self._gateway

    @property
    def config(self) -> Config:
        """What the gateway was started with."""
        assert self._config, "the sandbox is not started"
        return self._config

    @property
    def bundle(self) -> Path:
        """The roots that a client must trust."""
        return self.config.gateway.certs / "bundle.pem"

    def variables(self, name: str | None = None, existing: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The variables with which a client is one session of its own, called ``name``."""
        session = str(uuid7())
        audience = audience_for(gateway_config.connection_for(self.config, self.world.project), session, name)
        credentials = write_credentials(self._client / f"credentials-{session}.json", audience, self._token_file)
        variables = client_environment(self.gateway.url, self.bundle, credentials, self.world.project, existing)
        # The settings of somebody's own gcloud and bq stay theirs, and no token of this sandbox gets among them.
        (self._client / "bigqueryrc").touch()
        variables |= {
            "CLOUDSDK_CONFIG": str(self._client / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "BIGQUERYRC": str(self._client / "bigqueryrc"),
            "HOOP_DB": str(self.archive),
            SESSION: session,
            "PATH": search_path(existing),
        }
        return variables

    def environment(self, name: str | None = None, existing: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The same as the whole environment of a child process."""
        return child_environment(existing, self.variables(name, existing))

    def broken(self) -> str | None:
        """Why the sandbox no longer works, in words for its user; ``None`` while it does."""
        if not self.gateway.alive():
            return f"The gateway ended by itself. Its log is {self.gateway.log}."
        return self.world.broken()

    def _claim_directory(self) -> None:
        for directory in (self.directory, self._client, self.logs, self.recordings):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self._cleanup.enter_context((self.directory / ".lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SandboxError(
                f"Another sandbox is running in {self.directory}. End it, or name another directory with --dir."
            ) from None

    def _start_world(self, progress: Progress) -> None:
        self._cleanup.callback(self.world.stop)
        self.world.start(progress)
        if self.user not in self.world.users:
            raise SandboxError(f"There is no user {self.user} in the sandbox, but {', '.join(self.world.users)}.")
        self._write_token()
        threading.Thread(target=self._keep_token_fresh, name="sandbox-token", daemon=True).start()

    def _configure(self, own: Config | None) -> Config:
        return gateway_config.for_sandbox(
            load(self.world.write_config(self.directory / "world" / "hoop.yaml")),
            own,
            listen=f"127.0.0.1:{free_port()}",
            directory=self.directory / "gateway",
            recordings=self.recordings,
            policy=self.policy,
        )

    def _start_gateway(self) -> GatewayProcess:
        file = gateway_config.write(self.config, self.directory / "hoop.yaml")
        gateway = GatewayProcess(file, self.config.gateway.listen, self.logs / "gateway.log", self._entry_point)
        self._cleanup.callback(self._fold)
        self._cleanup.callback(gateway.stop)
        gateway.start()
        return gateway

    def _fold(self) -> None:
        """What a gateway that was killed has left; one that ended as it should has folded everything."""
        from hoop_mitm.recording.fold import fold_once

        # If a reader holds the archive for long, the next one that comes with our command line folds the rest.
        with suppress(HoopError):
            fold_once(self.recordings, wait=_FOLD_SECONDS)

    def _keep_token_fresh(self) -> None:
        while not self._stopping.wait(_TOKEN_REFRESH.total_seconds()):
            self._write_token()

    def _write_token(self) -> None:
        fresh = self._token_file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(self.world.issuer.token(self.user, lifetime=_TOKEN_LIFETIME))
        fresh.replace(self._token_file)


class Sandbox(Installation):
    """The one with a BigQuery of its own, that holds a shop's data."""

    world: World
    policy = gateway_config.ANALYSTS_READ

    def __init__(
        self,
        directory: Path,
        *,
        user: str = "alice",
        own_config: Path | None = None,
        recordings: Path | None = None,
        entry_point: EntryPoint = "proxy",
    ) -> None:
        """As :class:`Installation`, with the whole local :class:`World`."""
        world = World(directory.absolute() / "world")
        super().__init__(
            directory, world, user=user, own_config=own_config, recordings=recordings, entry_point=entry_point
        )


def search_path(existing: Mapping[str, str]) -> str:
    """The ``PATH`` of a command in the sandbox: without an environment of one's own, Python is the sandbox's.

    Google's client library is there, and a newcomer has it nowhere else.
    """
    path = existing.get("PATH", os.defpath)
    if any(existing.get(active) for active in ("VIRTUAL_ENV", "CONDA_PREFIX")):
        return path
    return os.pathsep.join([str(Path(sys.executable).parent), path])
