"""Asking the local BigQuery as reconciliation does, and running jobs there that no gateway sees."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from hoop_mitm import outbound
from hoop_mitm.devkit.world import World
from hoop_mitm.reconciling import BigQuery
from tests.devkit.google_clients import upstream

API = "https://bigquery.googleapis.com/bigquery/v2/projects/acme"


def client(world: World, email: str = "auditor@acme.example", *, page: int = 1000) -> BigQuery:
    token = world.google.issue(email)
    return BigQuery(outbound.session(upstream(world)), lambda: token, page=page)


@dataclass(frozen=True)
class Somebody:
    """Has an access token of Google's, and asks BigQuery past the gateway."""

    session: requests.Session
    email: str

    @classmethod
    def of(cls, world: World, email: str) -> "Somebody":
        session = outbound.session(upstream(world))
        session.headers["Authorization"] = f"Bearer {world.google.issue(email)}"
        return cls(session, email)

    def run(self, statement: str, job_id: str, *, location: str | None = None, **configuration: Any) -> str:
        """The id of a job that has run, well or not."""
        body = {
            "jobReference": {"projectId": "acme", "jobId": job_id, **({"location": location} if location else {})},
            "configuration": {"query": {"query": statement, "useLegacySql": False}, **configuration},
        }
        answer = self.session.post(f"{API}/jobs", json=body)
        assert answer.status_code == 200, answer.text
        return job_id

    def delete(self, job_id: str) -> None:
        assert self.session.delete(f"{API}/jobs/{job_id}/delete").status_code == 204


def unique(name: str) -> str:
    """An id that no other test has."""
    return f"{name}-{datetime.now(UTC):%H%M%S%f}"
