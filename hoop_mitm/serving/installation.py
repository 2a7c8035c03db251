"""A gateway with a recording in BigQuery's place, on loopback. What passes it is recorded as ever."""

from collections.abc import Sequence
from pathlib import Path

from hoop_mitm.devkit.environment import Progress
from hoop_mitm.devkit.issuer import User
from hoop_mitm.devkit.pki import Certificate
from hoop_mitm.devkit.premises import Premises
from hoop_mitm.devkit.sandbox import Installation
from hoop_mitm.errors import NotInArchive
from hoop_mitm.serving.jobs import Latency
from hoop_mitm.serving.matching import Miss
from hoop_mitm.serving.recorded import Recorded
from hoop_mitm.serving.rest import Rest
from hoop_mitm.serving.storage import Storage

_WHO = "recorded"
_SERVED = " (served)"
_LONGEST_NAME = 100


class ServedWorld(Premises):
    """Google, as far as a recording knows it. Whoever signs in is the principal who was recorded."""

    def __init__(self, directory: Path, recorded: Recorded, *, strict: bool, latency: Latency) -> None:
        """
        Raises:
            NotInArchive: nothing in the recording was let through.
        """
        if not recorded.projects:
            raise NotInArchive(
                f"Nothing of the session {recorded.first.name} was let through, so nothing can be served."
            )
        super().__init__(directory, recorded.first.connection, recorded.projects)
        self.recorded = recorded
        self._strict, self._latency = strict, latency
        self._rest: Rest | None = None
        self._storage: Storage | None = None

    def _open(self, certificate: Certificate, progress: Progress) -> tuple[int, int]:  # noqa: ARG002 - nothing here takes long
        self._let_in()
        grant = self.google.grant
        self._rest = Rest(self.recorded, grant, strict=self._strict, latency=self._latency)
        self._storage = Storage(self.recorded, self._rest.jobs, grant, self._rest.note, latency=self._latency)
        return self._servers.listen(self._rest.handle, certificate), self._storage.start(certificate)

    def _let_in(self) -> None:
        who = self.recorded.first.principal
        user = User(_WHO, who.subject, who.email, who.groups)
        (self.issuer.machines if who.kind == "machine" else self.issuer.users)[_WHO] = user

    def stop(self) -> None:
        if self._storage is not None:
            self._storage.stop()
            self._storage = None
        super().stop()

    @property
    def misses(self) -> Sequence[Miss]:
        """What was asked and is not in the recording, in order."""
        return tuple(self._rest.misses) if self._rest else ()

    def reset(self) -> None:
        """Begin the recording from its start."""
        for part in (self._rest, self._storage):
            if part is not None:
                part.reset()


class Serving(Installation):
    """Started and stopped as a context manager: a recording, served to whoever has :meth:`environment`.

    Args:
        directory: where all its files go; what is asked is recorded in ``directory/recordings``.
        recorded: what is served.
        strict: jobs must be asked for in the recorded order.
        latency: answers take as long as they did (``recorded``), or come at once.
        own_config: somebody's own ``hoop.yaml``, whose policy is to hold.
    """

    world: ServedWorld

    def __init__(
        self,
        directory: Path,
        recorded: Recorded,
        *,
        strict: bool = False,
        latency: Latency = "none",
        own_config: Path | None = None,
    ) -> None:
        """
        Raises:
            NotInArchive: nothing in the recording was let through.
        """
        world = ServedWorld(directory.absolute() / "world", recorded, strict=strict, latency=latency)
        super().__init__(directory, world, user=_WHO, own_config=own_config)
        self.name = f"{recorded.first.name[: _LONGEST_NAME - len(_SERVED)]}{_SERVED}"
