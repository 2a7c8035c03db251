"""The policy that is in force, and what it needs to know to decide."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hoop_mitm.bigquery.operation import Dataset, Operation
from hoop_mitm.config import Config, Connection, load, rules_of
from hoop_mitm.errors import ConfigError, HoopError
from hoop_mitm.policy.cost import Estimator
from hoop_mitm.policy.estimate import Estimate
from hoop_mitm.policy.policy import Policy
from hoop_mitm.policy.question import Question
from hoop_mitm.policy.ruling import Ruling
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.sql import StatementFacts, Understanding, agrees

logger = logging.getLogger(__name__)

DISAGREEMENT: Final = "policy.disagreement"

type _Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a look at the files.

    Attributes:
        policy: what they say now; ``None`` when they are wrong.
        trouble: why, in words for people; ``""`` when they are right.
    """

    policy: Policy | None = None
    trouble: str = ""


class Rules:
    """Decides on questions with the rules that are in force. They are read again when their file changes; while it is
    wrong, those from before stay.

    Args:
        config: as it was loaded at the start.
        file: where from; ``None``: it is never read again.
        estimates: asks BigQuery what a statement would cost.
    """

    def __init__(self, config: Config, file: Path | None, estimates: Estimator) -> None:
        self.policy = Policy(rules_of(config))
        self._file = file
        self._estimates = estimates
        self._understanding = Understanding()
        self._files = _files(config, file)
        # The configuration was read a while ago: the first look reads what has become of it since.
        self._seen: _Stamp | None = None

    def close(self) -> None:
        """Ends what it has started."""
        self._understanding.close()

    async def ask(
        self, question: Question, connection: Connection, subject_token: str | None = None
    ) -> tuple[Question, Ruling]:
        """Decides; what the rules need to know and the question does not say is found out first.

        Returns the question as it stood for the decision.

        Raises:
            Denied: BigQuery would not run the statement, or cannot be asked, and a rule needs to know.
        """
        policy = self.policy
        if not policy.version:
            return question, policy.decide(question)
        if question.operation.statement is not None and question.facts is None:
            question = replace(question, facts=await self.facts_of(question))
        ruling = policy.decide(question)
        if ruling.needs_estimate:
            question = replace(question, estimate=await self._estimate(question, connection, subject_token))
            ruling = replace(policy.decide(question), rests_on_estimate=True)
        elif ruling.wants_estimate:
            try:
                question = replace(question, estimate=await self._estimate(question, connection, subject_token))
                ruling = policy.decide(question)
            except HoopError as error:
                logger.info("What a rule would say that only observes is not known: %s", error)
        return question, _disagreement(question, ruling) or ruling

    async def facts_of(self, question: Question) -> StatementFacts:
        """The facts of a question's statement."""
        operation = question.operation
        assert operation.statement is not None
        project, default = names_of(operation)
        return await self._understanding.of(
            operation.statement,
            project=project,
            default_dataset=default,
            legacy=operation.legacy_sql is not False,
        )

    async def _estimate(self, question: Question, connection: Connection, subject_token: str | None) -> Estimate:
        return await self._estimates.of(
            question.operation, connection=connection, principal=question.principal, subject_token=subject_token
        )

    def look(self) -> Loaded | None:
        """Reads the files again, if they have changed; puts nothing in force. ``None``: they have not.

        It reads files, and a policy of a thousand rules takes a moment: not for the event loop.
        """
        if self._file is None or (stamp := _stamp(self._files)) == self._seen:
            return None
        self._seen = stamp
        try:
            config = load(self._file)
            rules = rules_of(config)
        except ConfigError as error:
            return Loaded(trouble=str(error))
        if (files := _files(config, self._file)) != self._files:
            # How a file was that was not looked at before it was read, nobody knows: they are read once more.
            self._files, self._seen = files, None
        if rules is None and self.policy.version:
            return Loaded(trouble=f"{self._file} has no policy any more. To do without one, restart the gateway.")
        return Loaded(Policy(rules))


def names_of(operation: Operation) -> tuple[str, Dataset | None]:
    """The project, and the dataset, that names in an operation's statement are in when they name none.

    A session may have another default dataset than the request says, and it cannot be seen from here: there it is ``""``,
    a dataset that nobody knows.
    """
    in_session = any(used.kind == "bq_session" for used in operation.uses)
    return operation.dataset_project or operation.project, (None, "") if in_session else operation.default_dataset


def _disagreement(question: Question, ruling: Ruling) -> Ruling | None:
    """A denial, where BigQuery takes the statement for something else than we do: then nothing that was decided holds."""
    facts, estimate = question.facts, question.estimate
    if facts is None or estimate is None or facts.is_opaque or ruling.verdict.decision == "deny":
        return None
    why = agrees(facts, estimate.statement_type, estimate.referenced_tables)
    if not why:
        return None
    message = (
        f"hoop-mitm did not let this statement run, because BigQuery understands it differently: {why} "
        f"({DISAGREEMENT}. Asking the same again will not help; write the statement more plainly.)"
    )
    return replace(ruling, verdict=Verdict("deny", DISAGREEMENT, message), review=None)


def _files(config: Config, file: Path | None) -> tuple[Path, ...]:
    own = config.policy.file if config.policy else None
    return tuple(path for path in (file, own) if path is not None)


def _stamp(files: tuple[Path, ...]) -> _Stamp:
    """Tells one state of files from another, by what the file system says of them."""
    return tuple(_stamp_of(path) for path in files)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
