"""A review: a job that is held until people have said yes."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, Self

from hoop_mitm.bigquery.waiting import Waiting
from hoop_mitm.evidence.canonical import canonical
from hoop_mitm.identity.identified import Identified
from hoop_mitm.identity.session import Session
from hoop_mitm.policy.ruling import ReviewTerms
from hoop_mitm.policy.verdict import Verdict

if TYPE_CHECKING:
    from hoop_mitm.policy.question import Question
    from hoop_mitm.policy.ruling import Ruling

type State = Literal["PENDING", "APPROVED", "EXECUTING", "EXECUTED", "REJECTED", "EXPIRED", "WITHDRAWN"]

OPEN: Final = ("PENDING", "APPROVED", "EXECUTING")
"""States in which something may still become of it."""

MOST_TABLES: Final = 100
"""Tables that are named of a review in a list."""


@dataclass(frozen=True, slots=True)
class Held:
    """What was asked for, and by whom. It never changes.

    Attributes:
        session: the requester's, with the principal.
        token_session / token_connection / signed_in_at / authenticated_at / issued_at: what the token said that it was
            asked with (`Identified`), so that a revocation can be told to cover it.
        door: ``jobs.insert`` or ``jobs.query``.
        path: of the request, with its query string.
        body: of the request, without content-encoding; empty once it is over, where a connection records no bodies.
        configuration: the job that will be started, as JSON; empty when ``body`` is.
        location: where the request says that it should run.
        statement: its SQL; ``None`` for a job without one, and once it is over, where a connection records none.
        request_id: the client's ``requestId``, or ``""``.
        reason: why, in the client's words; or ``""``.
        level: how much its connection records.
        salt: random, for `digest_of`: the recording has the digest where it has no statement, and statements can be guessed.
    """

    session: Session
    signed_in_at: float
    authenticated_at: float | None
    issued_at: float | None
    token_session: str | None
    token_connection: str | None
    door: str
    path: str
    body: str
    configuration: str
    project: str
    job_id: str
    location: str | None = None
    statement: str | None = None
    request_id: str = ""
    reason: str = ""
    user_agent: str = ""
    client_address: str = ""
    program: str = ""
    level: Literal["full", "statements", "metadata", "off"] = "full"
    salt: str = ""

    @property
    def identified(self) -> Identified:
        """The requester, as a revocation is held against them."""
        return Identified(
            principal=self.session.principal,
            expires_at=0.0,
            session_id=self.token_session,
            connection=self.token_connection,
            signed_in_at=self.signed_in_at,
            authenticated_at=self.authenticated_at,
            issued_at=self.issued_at,
        )

    @property
    def job(self) -> str:
        """``project:job``, unique."""
        return f"{self.project}:{self.job_id}"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a reviewer's yes rests on. Where any of it becomes something else, the yes counts no more.

    Attributes:
        rule: that asks for the review.
        policy: version of the policy.
        kinds: of statement, as BigQuery calls them.
        tables: full names, that it reads and writes as far as its text says.
        statement_type / referenced_tables / processed_bytes / price: by BigQuery's dry run, where one was made.
    """

    rule: str
    policy: str
    groups: tuple[str, ...]
    min_approvals: int
    kinds: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    statement_type: str = ""
    referenced_tables: tuple[str, ...] = ()
    processed_bytes: int | None = None
    price: Decimal | None = None
    currency: str = ""

    @classmethod
    def of(cls, question: "Question", ruling: "Ruling", currency: str) -> Self:
        """What a ruling that asks for a review rests on; ``currency``: of the estimate's price."""
        assert ruling.review
        facts, estimate, operation = question.facts, question.estimate, question.operation
        tables = {*operation.tables, *((*facts.reads, *facts.writes) if facts else ())}
        return cls(
            rule=ruling.verdict.rule,
            policy=ruling.policy,
            groups=ruling.review.groups,
            min_approvals=ruling.review.min_approvals,
            kinds=facts.kinds if facts else (operation.job_type.upper(),) if operation.job_type else (),
            tables=tuple(sorted(map(str, tables))),
            statement_type=estimate.statement_type if estimate else "",
            referenced_tables=tuple(sorted(map(str, estimate.referenced_tables))) if estimate else (),
            processed_bytes=estimate.processed_bytes if estimate else None,
            price=estimate.price if estimate else None,
            currency=currency,
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes. ``principal`` is issuer and subject: the same person under two names is one."""

    principal: str
    name: str
    at: datetime
    message: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended, for the client. ``status`` and ``reason`` are what BigQuery would say (403, ``accessDenied``)."""

    message: str
    reason: str = "accessDenied"
    status: int = 403


@dataclass(frozen=True, slots=True)
class Review:
    """A held job and what became of it.

    Attributes:
        id: UUIDv7 in text; the value of the job label ``hoop-review``.
        change: number of the last change to any review; grows.
        digest: of what is held and its grounds: what an approval is given for.
        fingerprint: of the statement without its values.
        approvals: those that were given for ``digest``.
        expires_at: nobody can approve it afterwards, and it is not started afterwards.
        ended_by: who rejected or withdrew it; ``""`` for nobody.
        polled_at: when the client last asked for it.
        execution: id of the flow record of its start at BigQuery.
        sent_at: when it was sent there last.
        outcome: why there is no job to look at, where there is none.
    """

    id: str
    state: State
    held: Held
    grounds: Grounds
    digest: str
    requested_at: datetime
    expires_at: datetime
    fingerprint: str = ""
    change: int = 0
    approvals: tuple[Approval, ...] = ()
    ended_at: datetime | None = None
    ended_by: str = ""
    polled_at: datetime | None = None
    execution: str | None = None
    sent_at: datetime | None = None
    outcome: Outcome | None = None

    @property
    def is_open(self) -> bool:
        """Whether something may still become of it."""
        return self.state in OPEN

    @property
    def terms(self) -> ReviewTerms:
        """Who has to say yes."""
        return ReviewTerms(self.grounds.groups, self.grounds.min_approvals, self.expires_at - self.requested_at)

    @property
    def verdict(self) -> Verdict:
        """What is recorded of the requests that wait for it."""
        groups = ", ".join(self.grounds.groups)
        return Verdict("review", self.grounds.rule, f"Held for a review by members of {groups}: {self.id}.")

    def is_of(self, body: str, location: str | None) -> bool:
        """Whether this is the request, with its location as it was asked for, that was held; also when it is kept no more."""
        return digest_of(replace(self.held, body=body, location=location), self.grounds) == self.digest

    @property
    def waiting(self) -> Waiting:
        """The job, as BigQuery would describe it."""
        held = self.held
        return Waiting(
            held.project,
            held.job_id,
            held.location,
            (held.configuration or "{}").encode(),
            self.requested_at,
            self.outcome.message if self.outcome else None,
            self.outcome.reason if self.outcome else "accessDenied",
        )


def digest_of(held: Held, grounds: Grounds) -> str:
    """What an approval is bound to: statement, configuration, requester, connection, job, terms and policy."""
    return hashlib.sha256(
        canonical(
            {
                "requester": held.session.principal.key,
                "session": held.session.id,
                "connection": held.session.connection,
                "job": held.job,
                "location": held.location,
                "door": held.door,
                "body": held.body,
                "rule": grounds.rule,
                "policy": grounds.policy,
                "groups": grounds.groups,
                "min_approvals": grounds.min_approvals,
                "tables": grounds.tables,
                "statement_type": grounds.statement_type,
                "referenced_tables": grounds.referenced_tables,
                "processed_bytes": grounds.processed_bytes,
                # Not of what was held by a version that had none.
                **({"salt": held.salt} if held.salt else {}),
            }
        )
    ).hexdigest()


def rid_of_body(held: Held) -> Held:
    """The same without the request: its SQL stays, its parameters do not."""
    return replace(held, body="", configuration="")


def rid_of_statement(held: Held) -> Held:
    """The same without what says what was asked."""
    return replace(rid_of_body(held), statement=None, reason="")


def in_brief(review: Review) -> Review:
    """What lists and the gateway's own looking after need: without the texts of the request, and with few of its tables."""
    held = replace(review.held, body="", configuration="", statement=None)
    grounds = replace(
        review.grounds, tables=_few(review.grounds.tables), referenced_tables=_few(review.grounds.referenced_tables)
    )
    return replace(review, held=held, grounds=grounds)


def _few(tables: tuple[str, ...]) -> tuple[str, ...]:
    return tables if len(tables) <= MOST_TABLES else (*tables[:MOST_TABLES], "…")
