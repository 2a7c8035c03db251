"""What a statement would cost."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from hoop_mitm.bigquery.operation import TableRef

_MIB: Final = 2**20
_HEADROOM: Final = 10
_LEAST: Final = 10 * _MIB
"""What BigQuery bills at least, for each table that a query reads and for each query that reads anything."""


_RUNS_OTHERS: Final = frozenset({"SCRIPT", "CALL", "EXECUTE_IMMEDIATE"})
"""Statements that run others."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """BigQuery's own answer to a dry run of the same job.

    Attributes:
        processed_bytes: ``totalBytesProcessed``, the most that it would read.
        statement_type: BigQuery's ``statementType`` (``SELECT``, ``SCRIPT`` …); ``""`` where it told none.
        referenced_tables: what it would read, behind views too.
        price: of `billed_bytes`, in the currency of ``cost.price_per_tib``; ``None`` where no price is configured.
        accuracy: ``totalBytesProcessedAccuracy``: ``PRECISE``, ``UPPER_BOUND``, ``LOWER_BOUND``, ``UNKNOWN``.
    """

    processed_bytes: int
    statement_type: str = ""
    referenced_tables: tuple[TableRef, ...] = ()
    price: Decimal | None = None
    accuracy: str = "PRECISE"

    @property
    def billed_bytes(self) -> int:
        """What would be billed on demand: whole MiB, and at least 10 of them for each table."""
        return billed(self.processed_bytes, len(self.referenced_tables))

    @property
    def most(self) -> int:
        """What it is let be billed: a tenth more than estimated, and at least 10 MiB, because tables grow while one looks."""
        return self.billed_bytes + max(self.billed_bytes // _HEADROOM, _LEAST)

    @property
    def is_bound(self) -> bool:
        """Whether it cannot become more, as the tables are now. What a script will read is only known when it runs."""
        return self.accuracy in ("PRECISE", "UPPER_BOUND") and self.statement_type not in _RUNS_OTHERS


def billed(processed: int, tables: int) -> int:
    """Bytes that are billed on demand for a query that processes so many of so many tables."""
    if processed <= 0:
        return 0
    return max(-(-processed // _MIB) * _MIB, _LEAST * max(tables, 1))
