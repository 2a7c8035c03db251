"""The intents that a gateway which died has left open, for the one that comes after it.

Run as ``python -m hoop_mitm.reconciling.left_open DIRECTORY --after EVENT PROJECT…``, a child of the gateway, because
DuckDB has no place in a process that passes traffic on. It waits until ``EVENT``, the gateway's first, is in the archive,
and so all that was recorded before; then it prints one JSON line for each intent, the newest first.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from hoop_mitm.archive import Recorded, looking, open_archive
from hoop_mitm.errors import ArchiveError

MOST: Final = 1_000
"""Intents that are told of; a gateway has far fewer under way."""

_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Intent:
    """A job that was asked for, and the ids of the other jobs that its session has."""

    record: Recorded
    others: tuple[str, ...]

    @classmethod
    def parse(cls, line: bytes) -> "Intent":
        """From a line of this program's."""
        return msgspec.json.decode(line, type=cls)


def left_open(directory: Path, after: str, projects: Sequence[str], wait: float) -> list[Intent]:
    """The intents, once ``after`` is in the archive.

    Raises:
        ArchiveError: it cannot be read, or did not get that far within ``wait`` seconds.
    """
    give_up = time.monotonic() + wait
    while True:
        if (directory / "hoop.duckdb").exists():
            with open_archive(directory) as archive:
                ledger = archive.ledger
                if ledger.has_event(after):
                    records = ledger.open_intents(projects)[::-1][:MOST]
                    others = ledger.ids_of({record.session_id for record in records})
                    return [Intent(record, others.get(record.session_id, ())) for record in records]
        if time.monotonic() > give_up:
            raise ArchiveError(f"The archive in {directory} has not taken in what is in its journal.")
        time.sleep(_PAUSE)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hoop_mitm.reconciling.left_open", description=__doc__)
    parser.add_argument("directory", type=Path, help="recordings directory")
    parser.add_argument("projects", nargs="+", help="projects of the gateway's connections")
    parser.add_argument("--after", required=True, help="id of an event that must be in the archive first")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for it")
    options = parser.parse_args(arguments)
    # Whoever asks BigQuery through the gateway goes first.
    os.nice(10)
    try:
        # Of a shared recording it is the gateway that looks, and the command that runs it.
        with looking.by("proxy"):
            intents = left_open(options.directory, options.after, options.projects, options.wait)
    except ArchiveError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for intent in intents:
        sys.stdout.buffer.write(msgspec.json.encode(intent) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
