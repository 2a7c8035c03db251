"""What one statement takes from budgets."""

from dataclasses import dataclass, field
from datetime import datetime

from hoop_mitm.policy.cost.payer import Payer


@dataclass(slots=True)
class Charge:
    """One statement that was let through.

    Attributes:
        id: of its flow, or of whatever else asked for it; unique.
        at: when it was let through, aware; the hour, day and month that it counts for.
        payer: on whose account.
        reserved: bytes that it may be billed at most, its ``maximumBytesBilled``; what it counts with until the bill is known.
        billed: bytes that it was billed; ``None`` while that is not known.
        project, job_id, location: the job at BigQuery, as far as they are known.
        statement: its SQL, to find its job by where no answer has named it. Never kept on disk.
        request: digest of what was asked for, where the client chose the job's id. Never kept on disk.
        subject_token: the payer's own, where their own identity is used at Google. Never kept on disk.
    """

    id: str
    at: datetime
    payer: Payer
    reserved: int
    billed: int | None = None
    project: str = ""
    job_id: str | None = None
    location: str | None = None
    statement: str | None = field(default=None, repr=False)
    request: str | None = None
    subject_token: str | None = field(default=None, repr=False)

    @property
    def counted(self) -> int:
        """Bytes that it takes now."""
        return self.reserved if self.billed is None else self.billed
