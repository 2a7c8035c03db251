"""Facts of statements."""

from collections.abc import Sequence

from hoop_mitm.bigquery.operation import TableRef
from hoop_mitm.bigquery.statement_types import SCRIPT, statement_types
from hoop_mitm.sql.facts import Dataset, StatementFacts


def understand(
    statement: str, *, project: str, default_dataset: Dataset | None = None, legacy: bool = False
) -> StatementFacts:
    """The facts of a statement; whatever goes wrong on the way makes it opaque, nothing is raised.

    It takes as long as it takes: where somebody waits, ask ``Understanding.of``.

    Args:
        statement: the text, exactly as BigQuery gets it.
        project: the project of names that have none.
        default_dataset: project and dataset of table names that have no dataset.
        legacy: the request says ``useLegacySql``, or says nothing (REST's default is true). The text's own
            ``#standardSQL`` and ``#legacySQL`` are seen here.
    """
    del project, default_dataset, legacy
    kinds = statement_types(statement)
    return StatementFacts(kinds, "admin", is_script=SCRIPT in kinds, opaque="no statement is understood yet.")


def agrees(facts: StatementFacts, statement_type: str, referenced_tables: Sequence[TableRef]) -> str:
    """What BigQuery's dry run says against the facts, as a sentence for people; ``""`` when it says nothing against them.

    Args:
        statement_type: ``statistics.query.statementType`` of the dry run.
        referenced_tables: ``statistics.query.referencedTables`` of the dry run.
    """
    missing = set(facts.reads) - set(referenced_tables)
    if statement_type not in facts.kinds or missing:
        return f"BigQuery takes the statement for {statement_type}, and hoop-mitm for {', '.join(facts.kinds)}."
    return ""


class Understanding:
    """Facts of statements for whoever must not wait: never longer than ``limit``, and never on the event loop."""

    def __init__(self, *, limit: float = 2.0) -> None:
        """``limit`` is seconds for one statement; what takes longer is opaque."""
        self._limit = limit

    async def of(
        self, statement: str, *, project: str, default_dataset: Dataset | None = None, legacy: bool = False
    ) -> StatementFacts:
        """As ``understand``."""
        return understand(statement, project=project, default_dataset=default_dataset, legacy=legacy)

    def close(self) -> None:
        """Ends what it has started. What is asked afterwards is opaque."""
