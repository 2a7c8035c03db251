"""What the gateway keeps of people beside the recording, in ``gateway.state``: reviews, and what was spent of budgets.

Both are a running gateway's as well: each is changed in a transaction of its own, and what was taken out is in no byte of
the files when that has returned.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from hoop_mitm.errors import RecordingError
from hoop_mitm.identity.person import Person
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.cost import forgetting as charges
from hoop_mitm.policy.cost.ledger import FILE as SPENDING
from hoop_mitm.policy.cost.ledger import Ledger
from hoop_mitm.policy.reviews import Store, forgetting
from hoop_mitm.policy.reviews.forgetting import Kept, Until
from hoop_mitm.policy.reviews.store import FILE as REVIEWS
from hoop_mitm.recording.owners import LIFETIME
from hoop_mitm.recording.retention.cutoffs import Cutoff, Cutoffs

if TYPE_CHECKING:
    # The configuration's parser is slow to import.
    from hoop_mitm.config.cost import Budget
    from hoop_mitm.config.model import Config
    from hoop_mitm.policy.cost.charge import Charge

_COUNTED: Final = timedelta(days=32)
"""Older charges count for no budget: the longest is for a month."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the two hold of a person.

    Attributes:
        reviews: that they asked for, or decided on.
        charges: statements of theirs that were taken from budgets.
        open: reviews and charges of which something may still become. They stay.
        sessions: that these reviews belong to.
    """

    reviews: int = 0
    charges: int = 0
    open: int = 0
    sessions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lost:
    """How many reviews and charges lose something, or all."""

    reviews: int = 0
    charges: int = 0


class Stores:
    """The files below one ``gateway.state``. One that is not there holds nothing.

    Every method raises `RecordingError` when a file cannot be read or written; then nothing of that file was changed.
    """

    def __init__(self, state: Path, budgets: "Sequence[Budget]" = ()) -> None:
        self._state = state
        self._budgets = budgets

    @classmethod
    def of(cls, config: "Config") -> Self:
        """Those of the gateway that ``hoop.yaml`` configures."""
        return cls(config.gateway.state, config.cost.budgets)

    def person(self, who: str) -> Person:
        """All names of ``who`` here: an e-mail stands for everyone who has it, with whatever else is theirs."""
        person = Person.called(who)
        found = person
        for principal in self._people():
            if person.is_(principal):
                found = found.of(principal)
        return found

    def find(self, person: Person, *, alive: bool) -> Found:
        """What they hold of a person; ``alive``: a gateway is running, so that bills may still come."""
        named = [each for each in self._reviews() if forgetting.names(each, person)]
        paid = [each for each in self._charges() if person.is_(each.payer.principal)]
        waiting = sum(each.review.is_open for each in named)
        return Found(
            len(named),
            len(paid),
            waiting + sum(alive and each.billed is None for each in paid),
            frozenset(forgetting.sessions_of(named)),
        )

    def erase(self, person: Person, *, alive: bool) -> None:
        """Take out what can be taken out of what `find` tells."""

        def of_review(kept: Kept) -> Kept | None:
            return forgetting.without(kept, person) if forgetting.names(kept, person) else kept

        def of_charge(charge: "Charge") -> "Charge":
            if not person.is_(charge.payer.principal) or (alive and charge.billed is None):
                return charge
            return charges.nobodys(charge, self._budgets)

        self._revise(of_review, of_charge)

    def due(self, cutoffs: Cutoffs, held: Collection[str]) -> Lost:
        """What `apply` would take now."""
        of_review, of_charge = self._by_age(cutoffs, held)
        return Lost(
            sum(each.review.ended_at is not None and of_review(each) != each for each in self._reviews()),
            sum(of_charge(each) != each for each in self._charges()),
        )

    def apply(self, cutoffs: Cutoffs, held: Collection[str]) -> Lost:
        """Take out what is older than it is kept, of sessions that are not among ``held``."""
        self.hold(held)
        return self._revise(*self._by_age(cutoffs, held))

    def hold(self, sessions: Collection[str]) -> None:
        """Of these sessions, and of no others, no review is deleted, by the gateway neither."""
        with self._explained(REVIEWS), self._store() as store:
            store.hold(sessions)

    def _by_age(
        self, cutoffs: Cutoffs, held: Collection[str]
    ) -> "tuple[Callable[[Kept], Kept | None], Callable[[Charge], Charge | None]]":
        def cutoff(connection: str) -> Cutoff:
            return cutoffs.by_connection.get(connection, cutoffs.other)

        def of_review(kept: Kept) -> Kept | None:
            session = kept.review.held.session
            if session.id in held:
                return kept
            keep = cutoff(session.connection)
            owned = cutoffs.now - timedelta(seconds=LIFETIME)
            return forgetting.aged(kept, Until(keep.bodies, keep.statements, keep.metadata, owned))

        def of_charge(charge: "Charge") -> "Charge | None":
            if charge.at < cutoffs.now - _COUNTED:
                # As the gateway does; but it may have no budgets any more.
                return None
            metadata = cutoff(charge.payer.connection).metadata
            if metadata is None or charge.at >= metadata or charge.billed is None or charge.payer.session_id in held:
                return charge
            return charges.bare(charge, self._budgets)

        return of_review, of_charge

    def _revise(self, of_review: Callable[[Kept], Kept | None], of_charge: "Callable[[Charge], Charge | None]") -> Lost:
        revised = spent = 0
        with self._explained(REVIEWS), self._store() as store:
            revised = store.revise(of_review)
        with self._ledger() as ledger:
            spent = ledger.revise(of_charge) if ledger else 0
        return Lost(revised, spent)

    def _people(self) -> Iterator[Principal]:
        for kept in self._reviews():
            yield from forgetting.people(kept)
        for charge in self._charges():
            yield charge.payer.principal

    def _reviews(self) -> list[Kept]:
        with self._explained(REVIEWS), self._store() as store:
            return store.everything()

    def _charges(self) -> "list[Charge]":
        with self._ledger() as ledger:
            return ledger.everything() if ledger else []

    @contextlib.contextmanager
    def _store(self) -> Iterator[Store]:
        with contextlib.closing(Store(self._state)) as store:
            yield store

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[Ledger | None]:
        with self._explained(SPENDING):
            if not (self._state / SPENDING).exists():
                yield None
                return
            with contextlib.closing(Ledger(self._state)) as ledger:
                yield ledger

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except (RecordingError, sqlite3.Error, OSError, ValueError, TypeError) as error:
            why = error.__cause__ or error
            raise RecordingError(
                f"{self._state / name} cannot be worked on ({why}): what it holds may still be there, and the archive is what "
                "it was. Try again; if it is damaged, restore it or move it away."
            ) from error
