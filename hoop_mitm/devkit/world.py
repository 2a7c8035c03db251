"""The whole local world: an issuer, Google's token endpoints and BigQuery, on loopback, with one certificate authority."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from hoop_mitm.devkit import seed
from hoop_mitm.devkit.bigquery import BigQuery
from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.devkit.environment import Progress
from hoop_mitm.devkit.pki import Certificate
from hoop_mitm.devkit.premises import Credential, Premises
from hoop_mitm.devkit.storage import StorageFront
from hoop_mitm.errors import SandboxError

__all__ = ["Credential", "World"]


class World(Premises):
    """A local world whose files lie in ``directory``; start it, or use it as a context.

    Attributes, once it has started, beside those of `Premises`:
        bigquery: BigQuery's front (`bigquery.requests()`, `hold`, `fail_next`).
        emulator: what is behind it; `seed.next_day(world.emulator)` changes the shop's data.
    """

    bigquery: BigQuery

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "acme", [seed.PROJECT])
        self.emulator = Emulator(self.directory / "bigquery", self.directory / "bigquery.log")
        self._storage: StorageFront | None = None

    def _begin(self, progress: Progress) -> None:
        self._data = _InBackground(self._start_data, progress)

    def _open(self, certificate: Certificate, progress: Progress) -> tuple[int, int]:
        self.bigquery = BigQuery(self.emulator, self.google.grant, self.project)
        rest = self._servers.listen(self.bigquery.handle, certificate)
        progress("Starting the local BigQuery")
        self._data.join()
        self._storage = StorageFront(self.emulator.grpc_port, self.bigquery.jobs, self.bigquery.visitors)
        return rest, self._storage.start(certificate)

    def _start_data(self, progress: Progress) -> None:
        self.emulator.start(progress)
        seed.seed(self.emulator)

    def stop(self) -> None:
        """Stops everything and removes what only the running world needed. May be called twice."""
        if self._storage is not None:
            self._storage.stop()
            self._storage = None
        super().stop()
        self.emulator.stop()
        shutil.rmtree(self.emulator.directory, ignore_errors=True)

    def broken(self) -> str | None:
        """What no longer works, in a sentence; ``None`` while everything does."""
        if not self.emulator.alive():
            return f"The local BigQuery ended by itself. Its log is {self.directory / 'bigquery.log'}."
        return None


class _InBackground:
    def __init__(self, work: Callable[[Progress], None], progress: Progress) -> None:
        self._error: BaseException | None = None
        self._work = work
        self._progress = progress
        self._thread = threading.Thread(target=self._run, name="world-data", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work(self._progress)
        except BaseException as error:  # noqa: BLE001 - it is raised again in `join`.
            self._error = error

    def join(self) -> None:
        self._thread.join()
        if isinstance(self._error, SandboxError):
            raise self._error
        if self._error is not None:
            raise SandboxError(f"The local BigQuery did not start: {self._error}") from self._error
