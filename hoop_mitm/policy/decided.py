"""What was decided about recorded jobs."""

from dataclasses import dataclass
from typing import Any

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.identity.principal import Principal


@dataclass(frozen=True, slots=True)
class Decided:
    """Recorded jobs of one kind, and what was decided about them.

    Attributes:
        statement: as it was sent; ``None`` of jobs without one, and where it was not recorded.
        fingerprint: the same for statements that differ in literals and layout alone.
        decision, rule: of the verdict then.
        jobs: how many.
        bytes_billed: of all of them.
        details: what was asked for of ``labels``, ``session``, ``program``, ``agent``, ``now`` and ``bytes``, by name.
    """

    statement: str | None
    fingerprint: str | None
    project: str
    connection: str
    principal: Principal
    job_type: str
    dry_run: bool
    destination: TableRef | None
    referenced_tables: tuple[TableRef, ...]
    statement_type: str
    decision: str
    rule: str
    door: str
    jobs: int
    bytes_billed: int
    details: dict[str, Any]
