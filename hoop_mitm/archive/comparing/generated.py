"""Names that BigQuery and the gateway make up for each run: they differ always and mean nothing."""

import re
from collections.abc import Iterable

from hoop_mitm.archive.entries import SessionDetail
from hoop_mitm.bigquery.operation import TableRef

# Where BigQuery keeps results: a hidden dataset and a table in it; and what a session's temporary tables lie in.
_ANONYMOUS = re.compile(
    r"\b_(?:[0-9a-f]{40}|script[0-9a-f]{20,}|session[\w-]{8,})\.(?:anon)?[\w-]+|\banon[0-9a-f_]{20,}"
)
_WORD = re.compile(r"[\w-]{4,}")


class Generated:
    """The names that one session was given."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)

    @classmethod
    def of(cls, detail: SessionDetail) -> "Generated":
        return cls([detail.session.id, *(job.id for job in detail.jobs if job.id)])

    def without(self, text: str) -> str:
        """``text`` with a word of ours in the place of each such name."""
        text = _ANONYMOUS.sub("<result>", text)
        return _WORD.sub(lambda match: "<job>" if match[0] in self._names else match[0], text)


def hidden(table: TableRef) -> bool:
    """Whether BigQuery named the table itself."""
    return table.dataset.startswith("_")
