"""A gateway in the local world as tests use it: a process, its recordings, and environments for its clients."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import duckdb
from uuid_utils import uuid7

from hoop_mitm.archive import Archive, SessionDetail, open_archive
from hoop_mitm.client import child_environment, client_environment, write_credentials
from hoop_mitm.config import load
from hoop_mitm.devkit.gateway_process import EntryPoint, GatewayProcess
from hoop_mitm.devkit.issuer import Issuer
from hoop_mitm.identity.exchange import audience_for
from tests.warm import WarmProcess

_FOLD_SECONDS = 60


class Surroundings(Protocol):
    """What a gateway stands in: the local `World`, or Google's own BigQuery (tests/live)."""

    @property
    def project(self) -> str: ...

    @property
    def issuer(self) -> Issuer: ...

    def write_config(self, path: Path, **overrides: Any) -> Path: ...


class RunningGateway:
    """Started and stopped as a context manager.

    ``overrides`` go to `World.write_config` (``credential="federation"``, ``gateway={"others": "refuse"}`` …);
    ``arguments`` to its command line.
    """

    def __init__(
        self,
        world: Surroundings,
        directory: Path,
        entry_point: EntryPoint = "proxy",
        arguments: Sequence[str] = (),
        **overrides: Any,
    ) -> None:
        self.world = world
        self.directory = directory
        self.recordings = directory / "recordings"
        self.archive = self.recordings / "hoop.duckdb"
        self.log = directory / "gateway.log"
        places = {"certs": directory / "certs", "state": directory / "state"}
        overrides["gateway"] = {**places, **overrides.get("gateway", {})}
        overrides["recording"] = {"directory": self.recordings, **overrides.get("recording", {})}
        self.config_file = world.write_config(directory / "hoop.yaml", **overrides)
        self.config = load(self.config_file)
        listen = self.config.gateway.listen
        self.process = GatewayProcess(self.config_file, listen, self.log, entry_point, arguments, start=WarmProcess)

    @property
    def url(self) -> str:
        return self.process.url

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def environment(
        self, user: str = "alice", *, token: str | None = None, name: str | None = None, session: str | None = None
    ) -> dict[str, str]:
        """All of the environment of a client that is a session of its own.

        Args:
            user: whose OIDC token it trades.
            token: what it has instead of a good token.
            name: the session's name in the recording.
            session: its id, where a test wants to choose it.
        """
        session = session or str(uuid7())
        place = self.directory / "clients" / session
        place.mkdir(parents=True, exist_ok=True)
        (place / "token").write_text(self.world.issuer.token(user) if token is None else token)
        audience = audience_for(self.config.connections[0].name, session, name)
        credentials = write_credentials(place / "credentials.json", audience, place / "token")
        bundle = self.config.gateway.certs / "bundle.pem"
        variables = client_environment(self.url, bundle, credentials, self.world.project, os.environ)
        return child_environment(os.environ, variables | private(place))

    def recorded(self, session: str) -> SessionDetail:
        """All that is recorded of a session. Every answer that a client has got is in it."""
        with self.folded() as archive:
            return archive.show(archive.find(session))

    def folded(self) -> Archive:
        """The archive, open, with everything folded that the journal held when this was called."""
        deadline = time.monotonic() + _FOLD_SECONDS
        while True:
            if self.archive.exists():
                archive = open_archive(self.archive, wait=_FOLD_SECONDS)
                if archive.pending == 0 or time.monotonic() > deadline:
                    return archive
                archive.close()
            assert time.monotonic() < deadline, f"nothing was folded in {_FOLD_SECONDS} s; see {self.log}"
            time.sleep(0.1)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What plain DuckDB says about the archive while the gateway is running."""
        self.folded().close()
        deadline = time.monotonic() + _FOLD_SECONDS
        while True:
            try:
                with duckdb.connect(self.archive, read_only=True) as connection:
                    return connection.sql(sql).fetchall()
            except duckdb.IOException:  # the gateway is folding just now
                assert time.monotonic() < deadline
                time.sleep(0.1)


def private(place: Path) -> Mapping[str, str]:
    """Nothing of the settings of whoever runs the tests reaches a client, and no client writes into their home."""
    (place / "bigqueryrc").touch()
    return {
        "HOME": str(place),
        "CLOUDSDK_CONFIG": str(place / "gcloud"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "BIGQUERYRC": str(place / "bigqueryrc"),
    }
