"""Charges on disk, so that a restart gives nobody a new budget.

Beside the signing keys rather than in the recording: a recording may be off for a connection, is deleted by retention,
and is folded some time after the fact.
"""

import json
import math
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hoop_mitm.databases import open_private
from hoop_mitm.errors import RecordingError
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.cost.charge import Charge
from hoop_mitm.policy.cost.payer import Payer

FILE: Final = "spending.sqlite"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS charges (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL,
    principal TEXT NOT NULL,
    session_id TEXT NOT NULL,
    connection TEXT NOT NULL,
    reserved INTEGER NOT NULL,
    billed INTEGER,
    project TEXT NOT NULL,
    job_id TEXT,
    location TEXT
) WITHOUT ROWID, STRICT
"""
_PUT: Final = "INSERT OR REPLACE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SINCE: Final = "SELECT * FROM charges WHERE at >= ? ORDER BY at, id"
_DROP: Final = "DELETE FROM charges WHERE id = ?"
_FORGET: Final = "DELETE FROM charges WHERE at < ?"


class Ledger:
    """The file, in the directory of the gateway's state. One gateway writes it; methods block."""

    def __init__(self, state: Path) -> None:
        """
        Raises:
            RecordingError: it cannot be opened, or is none.
        """
        self.path = state / FILE
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            # Nobody else may read who spent how much.
            self._file = open_private(self.path)
            # What was let through must be counted also after the machine has lost its power.
            self._file.execute("PRAGMA synchronous = FULL")
            # Names lie here: what is deleted is gone.
            self._file.execute("PRAGMA secure_delete = ON")
            self._file.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise RecordingError(
                f"What was spent of budgets cannot be read from {self.path} ({error}); restore the file, or move it away "
                "to have every budget begin anew."
            ) from None

    def since(self, at: datetime) -> list[Charge]:
        """The charges from ``at`` on, oldest first. Older ones are deleted."""
        self.forget(at)
        return [_charge(row) for row in self._file.execute(_SINCE, (at.timestamp(),))]

    def put(self, charges: Iterable[Charge]) -> None:
        """Write charges as they stand, durably; all or none.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(_PUT, [_row(charge) for charge in charges])

    def drop(self, charge_id: str) -> None:
        """Forget a charge: its statement never ran.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        self._file.execute(_DROP, (charge_id,))

    def forget(self, before: datetime) -> None:
        """Delete charges from before a moment.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        if self._file.execute(_FORGET, (before.timestamp(),)).rowcount:
            self._empty_log()

    def everything(self) -> list[Charge]:
        """All charges, oldest first."""
        return [_charge(row) for row in self._file.execute(_SINCE, (-math.inf,))]

    def revise(self, decide: Callable[[Charge], Charge | None]) -> int:
        """Make of each charge what ``decide`` says (``None``: nothing is left); how many became others. The file may be a running gateway's.

        What is taken out is in no byte of the files afterwards, also where a version before has left it.

        Raises:
            sqlite3.Error: it cannot be written, or another program reads the old file all the time.
        """
        revised = 0
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            for charge in self.everything():
                if (left := decide(charge)) != charge:
                    self._file.execute(_DROP, (charge.id,))
                    if left is not None:
                        self._file.execute(_PUT, _row(left))
                    revised += 1
        self._file.execute("PRAGMA temp_store = MEMORY")
        self._file.execute("VACUUM")
        if not self._empty_log():
            raise sqlite3.OperationalError("another program reads it all the time")
        return revised

    def _empty_log(self) -> bool:
        (busy, _, _) = self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def close(self) -> None:
        self._file.close()


def _row(charge: Charge) -> tuple[object, ...]:
    payer = charge.payer
    return (
        charge.id,
        charge.at.timestamp(),
        json.dumps(asdict(payer.principal)),
        payer.session_id,
        payer.connection,
        charge.reserved,
        charge.billed,
        charge.project,
        charge.job_id,
        charge.location,
    )


def _charge(row: tuple[Any, ...]) -> Charge:
    key, at, principal, session_id, connection, reserved, billed, project, job_id, location = row
    known = json.loads(principal)
    return Charge(
        id=key,
        at=datetime.fromtimestamp(at, UTC),
        payer=Payer(Principal(**known | {"groups": tuple(known["groups"])}), session_id, connection),
        reserved=reserved,
        billed=billed,
        project=project,
        job_id=job_id,
        location=location,
    )
