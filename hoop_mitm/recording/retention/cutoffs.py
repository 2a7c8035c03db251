"""Until when what is kept: the periods of ``hoop.yaml``, as times."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Not needed to run, and the configuration's parser is slow to import.
    from hoop_mitm.config.model import Config, Keep


@dataclass(frozen=True, slots=True)
class Cutoff:
    """What ended before these times goes; ``None``: nothing does."""

    bodies: datetime | None
    statements: datetime | None
    metadata: datetime | None


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """By connection; ``other`` is for what belongs to none of them.

    ``periods`` are the durations as the event of a deletion tells them.
    """

    now: datetime
    by_connection: Mapping[str, Cutoff]
    other: Cutoff
    periods: Mapping[str, Mapping[str, str | None]]


def cutoffs(config: "Config", now: datetime) -> Cutoffs:
    """What ``hoop.yaml`` says, at the time ``now`` (aware)."""
    keep = {each.name: each.keep or config.recording.keep for each in config.connections}
    return Cutoffs(
        now,
        {name: _cutoff(each, now) for name, each in keep.items()},
        _cutoff(config.recording.keep, now),
        {name: each.model_dump(mode="json") for name, each in {**keep, OTHERS: config.recording.keep}.items()},
    )


_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)

#: What belongs to no connection of hoop.yaml is listed under this name, which no connection can have.
OTHERS = "(others)"


def _cutoff(keep: "Keep", now: datetime) -> Cutoff:
    return Cutoff(_before(now, keep.bodies), _before(now, keep.statements), _before(now, keep.metadata))


def _before(now: datetime, period: timedelta | None) -> datetime | None:
    # Longer ago than there are years is for ever.
    return None if period is None or period > now - _BEGINNING else now - period
