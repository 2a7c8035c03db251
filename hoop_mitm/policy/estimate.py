"""What a statement would cost."""

from dataclasses import dataclass
from decimal import Decimal

from hoop_mitm.bigquery.operation import TableRef


@dataclass(frozen=True, slots=True)
class Estimate:
    """BigQuery's own answer to a dry run of the same job.

    Attributes:
        processed_bytes: ``totalBytesProcessed``, the most that it would read.
        statement_type: BigQuery's ``statementType`` (``SELECT``, ``SCRIPT`` …); ``""`` where it told none.
        referenced_tables: what it would read, behind views too.
        price: in the currency of ``cost.price_per_tib``; ``None`` where no price is configured.
    """

    processed_bytes: int
    statement_type: str = ""
    referenced_tables: tuple[TableRef, ...] = ()
    price: Decimal | None = None
