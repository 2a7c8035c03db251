"""The ledger of a recording that may be shared: what it gives is noted first, as everything that an archive gives."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from hoop_mitm.archive.database import Database
from hoop_mitm.archive.ledger import Ledger, Lost, Recorded
from hoop_mitm.archive.looking import Looking
from hoop_mitm.policy.decided import Decided

_ASKED_SINCE = "SELECT DISTINCT session_id FROM jobs WHERE started_at >= ? ORDER BY session_id"


class NotedLedger(Ledger):
    """Leaves word of the sessions whose jobs it gives; of a range of time, of that too, also where nothing is in it."""

    def __init__(self, database: Database, looking: Looking) -> None:
        super().__init__(database)
        # Locations and times are of no session, and somebody looks all the same.
        looking.at()
        self._looking = looking

    def jobs(self, projects: Sequence[str], since: datetime, until: datetime) -> tuple[Recorded, ...]:
        found = super().jobs(projects, since, until)
        about = f"projects={','.join(projects)} {_range(since, until)}"
        self._looking.at([job.session_id for job in found], about=about)
        return found

    def jobs_called(self, projects: Sequence[str], ids: Iterable[str]) -> tuple[Recorded, ...]:
        found = super().jobs_called(projects, ids)
        self._looking.at([job.session_id for job in found])
        return found

    def open_intents(self, projects: Sequence[str]) -> tuple[Recorded, ...]:
        found = super().open_intents(projects)
        self._looking.at([job.session_id for job in found])
        return found

    def ids_of(self, session_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        wanted = list(session_ids)
        self._looking.at(wanted)
        return super().ids_of(wanted)

    def lost(self, since: datetime, until: datetime) -> tuple[Lost, ...]:
        found = super().lost(since, until)
        self._looking.at([lost.session_id for lost in found if lost.session_id], about=f"open {_range(since, until)}")
        return found

    def decided(self, since: datetime, details: Collection[str]) -> tuple[Decided, ...]:
        asked = [session for (session,) in self._database.all(_ASKED_SINCE, [since])]
        self._looking.at(asked, about=f"since={since.isoformat()}")
        return super().decided(since, details)


def _range(since: datetime, until: datetime) -> str:
    return f"since={since.isoformat()} until={until.isoformat()}"
