"""The emulator's tables, and results of jobs as tables.

BigQuery keeps every result as an anonymous table for a day; the emulator keeps it as an answer only. It becomes a
table here, when somebody first reads it as one.
"""

import itertools
import re
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from hoop_mitm.devkit.api import OK, table_path, translated
from hoop_mitm.devkit.emulator import Emulator
from hoop_mitm.devkit.estimates import TableFacts, TableName

_COLUMN = re.compile(r"^[^\W\d]\w*$")


class Tables:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._lock = threading.Lock()
        self._results: dict[TableName, str] = {}
        self._materialised: set[TableName] = set()

    def facts(self, names: Sequence[TableName]) -> list[TableFacts | None]:
        """What the emulator knows of tables; ``None`` for those that do not exist."""
        if not names:
            return []
        status, answer = self._emulator.call(
            "POST", "/world/tables", json_body={"tables": [[n.project, n.dataset, n.table] for n in names]}
        )
        if status != OK:
            return [None] * len(names)
        return [
            TableFacts(rows=table["rows"], columns=table["columns"], query=table["query"]) if table else None
            for table in answer["tables"]
        ]

    def of_dataset(self, project: str, dataset: str) -> list[str]:
        """The names of a dataset's tables; none if it does not exist."""
        status, answer = self._emulator.call(
            "GET", f"/bigquery/v2/projects/{quote(project)}/datasets/{quote(dataset)}/tables", query="maxResults=10000"
        )
        if status != OK:
            return []
        return [table["tableReference"]["tableId"] for table in answer.get("tables", [])]

    def remove(self, name: TableName) -> None:
        self._emulator.call("DELETE", table_path(name))

    def note_result(self, name: TableName, job_id: str) -> None:
        """Says that ``name`` is the anonymous result of a job."""
        with self._lock:
            self._results[name] = job_id

    def materialise(self, name: TableName) -> None:
        """If ``name`` is an anonymous result, makes it a table that the emulator can read."""
        with self._lock:
            job_id = self._results.get(name)
            if job_id is None or name in self._materialised:
                return
            self._emulator.call(
                "POST",
                f"/bigquery/v2/projects/{quote(name.project)}/datasets",
                json_body={"datasetReference": {"projectId": name.project, "datasetId": name.dataset}},
            )
            self.fill(name, job_id, create=True)
            self._materialised.add(name)

    def materialise_named_in(self, statement: str) -> None:
        """The same for every anonymous result whose name stands in a statement."""
        if "anon" not in statement:
            return
        with self._lock:
            named = [name for name in self._results if name.table in statement]
        for name in named:
            self.materialise(name)

    def fill(self, name: TableName, job_id: str, *, create: bool) -> None:
        """Appends the rows of a job's result to a table, which is created from the result's schema first if asked.

        Raises:
            ApiError: if the table cannot be made, or the rows do not fit it.
        """
        if create:
            _, page = self._emulator.call(
                "GET", f"/bigquery/v2/projects/{quote(name.project)}/queries/{quote(job_id)}", query="maxResults=0"
            )
            status, answer = self._emulator.call(
                "POST",
                table_path(name).rpartition("/")[0],
                json_body={"tableReference": name.reference(), "schema": with_column_names(page["schema"])},
            )
            if status != OK:
                raise translated(status, answer)
        status, answer = self._emulator.call(
            "POST", "/world/results", json_body={"job": job_id, "table": [name.project, name.dataset, name.table]}
        )
        if status != OK:
            raise translated(status, answer)


def with_column_names(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with BigQuery's names for columns that have none: ``f0_``, ``f1_`` … where DuckDB says ``sum(x)``."""
    numbers = itertools.count()
    fields = [
        field if _COLUMN.match(field["name"]) else {**field, "name": f"f{next(numbers)}_"} for field in schema["fields"]
    ]
    return {"fields": fields}
