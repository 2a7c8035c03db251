"""What a policy is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hoop_mitm.bigquery.operation import Operation
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.estimate import Estimate
from hoop_mitm.sql.facts import StatementFacts


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Question:
    """One operation, who asks for it, and what is known of it.

    Attributes:
        principal: who asks.
        connection: name of the connection in ``hoop.yaml``.
        operation: what is asked for. One of a request that carries several is a question of its own.
        facts: of the operation's statement; ``None`` where it has none. A statement without facts is opaque.
        estimate: of what it would cost; ``None`` while nobody has asked.
        session_id: the session, or ``""``.
        program: which program asks (``Cursor › bq``), or ``""``. A hint: any program can take any name.
        agent: the client as its headers tell it (``python``, ``bq`` …), or ``""``. A hint as well.
        reason: why, in the client's own words (the label ``hoop-reason`` or the comment ``hoop.reason``), or ``""``.
        at: when; aware.
    """

    principal: Principal
    connection: str
    operation: Operation
    facts: StatementFacts | None = None
    estimate: Estimate | None = None
    session_id: str = ""
    program: str = ""
    agent: str = ""
    reason: str = ""
    at: datetime = field(default_factory=_now)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that the client put on the job."""
        return self.operation.labels
