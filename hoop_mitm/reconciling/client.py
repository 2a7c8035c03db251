"""Asking BigQuery, as the gateway itself: past the proxy, with its own credential."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import requests

from hoop_mitm.bigquery.rows import decode_rows, schema_fields
from hoop_mitm.errors import AskingError
from hoop_mitm.reconciling.ran import Ran

_API: Final = "https://bigquery.googleapis.com/bigquery/v2/projects"
_LONGEST_MESSAGE: Final = 500
_WAIT_MS: Final = 10_000
"""How long BigQuery is asked to wait for a result before it answers; shorter than our own patience with an answer."""
_LONGEST_QUERY: Final = 600.0
_TRIES: Final = 4
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_NOT_FOUND: Final = 404
_ERROR: Final = 400
_FORBIDDEN: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that was run: the id of its job, and its rows by column."""

    job_id: str
    rows: Iterator[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What BigQuery answered, as it came; ``headers`` with names in lower case, ``body`` without content-encoding."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class BigQuery:
    """A small client for what the gateway itself asks of BigQuery.

    Args:
        http: from `hoop_mitm.outbound`: goes where the gateway's requests go.
        token: gives an access token that is good now. May raise `CredentialError`.
        page: rows, or jobs, that an answer brings at most.
        pause: seconds before the second try; each later one waits twice as long as the one before.

    Every method raises `AskingError` when BigQuery cannot be reached or refuses; the text says what to do.
    """

    def __init__(
        self, http: requests.Session, token: Callable[[], str], *, page: int = 1_000, pause: float = 1.0
    ) -> None:
        self._http = http
        self._token = token
        self._page = page
        self._pause = pause

    def job(self, project: str, job_id: str, location: str | None) -> Ran | None:
        """The job with this id; ``None`` when BigQuery knows none."""
        parameters = {"location": location} if location else {}
        answer = self._get(f"{_API}/{quote(project)}/jobs/{quote(job_id, safe='')}", parameters, may_be_missing=True)
        return None if answer is None else Ran.of_resource(answer)

    def insert(self, project: str, body: bytes) -> Answer:
        """Sends a job (``jobs.insert``), once, whatever is answered: who sends it knows whether it may be sent again.

        Raises:
            AskingError: there was no answer. BigQuery may have the job all the same.
        """
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        url = f"{_API}/{quote(project)}/jobs"
        try:
            answer = self._http.post(url, data=body, headers=headers, allow_redirects=False)
        except (requests.RequestException, OSError):
            raise _unreached() from None
        return Answer(
            answer.status_code,
            tuple((name.lower(), value) for name, value in answer.headers.items()),
            answer.content,
        )

    def jobs(self, project: str, since: datetime, until: datetime, *, everybody: bool) -> Iterator[Ran]:
        """The jobs of this time in every location, newest first: this credential's own, or ``everybody``'s."""
        for page in self._job_pages(project, since, until, {"projection": "full", "allUsers": str(everybody).lower()}):
            yield from map(Ran.of_resource, page)

    def locations(self, project: str, since: datetime, until: datetime) -> frozenset[str]:
        """Where jobs of anybody's ran in this time, and where there are datasets."""
        found: set[str] = set()
        fields = {"allUsers": "true", "fields": "nextPageToken,jobs(jobReference/location)"}
        for page in self._job_pages(project, since, until, fields):
            found.update(job.get("jobReference", {}).get("location") for job in page)
        parameters: dict[str, object] = {"all": "true", "maxResults": self._page}
        while True:
            answer = self._get(f"{_API}/{quote(project)}/datasets", parameters) or {}
            found.update(dataset.get("location") for dataset in answer.get("datasets") or ())
            if not (token := answer.get("nextPageToken")):
                return frozenset(filter(None, found))
            parameters["pageToken"] = token

    def query(self, project: str, location: str, statement: str, labels: Mapping[str, str]) -> Asked:
        """Runs a query; its rows come as they are read, and may be read once."""
        body = {
            "query": statement,
            "useLegacySql": False,
            "location": location,
            "labels": dict(labels),
            "maxResults": self._page,
            "timeoutMs": _WAIT_MS,
            "formatOptions": {"useInt64Timestamp": True},
            # So that asking again, when an answer was lost, does not run it again.
            "requestId": str(uuid.uuid4()),
        }
        answer = self._call("POST", f"{_API}/{quote(project)}/queries", json=body) or {}
        job_id = str(answer["jobReference"]["jobId"])
        parameters: dict[str, object] = {
            "location": answer["jobReference"].get("location") or location,
            "maxResults": self._page,
            "timeoutMs": _WAIT_MS,
            "formatOptions.useInt64Timestamp": "true",
        }
        return Asked(
            job_id, self._rows(f"{_API}/{quote(project)}/queries/{quote(job_id, safe='')}", parameters, answer)
        )

    def _rows(self, url: str, parameters: Mapping[str, object], answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        give_up = time.monotonic() + _LONGEST_QUERY
        while not answer.get("jobComplete"):
            if time.monotonic() > give_up:
                raise AskingError(f"BigQuery has not answered within {_LONGEST_QUERY:g} s.", "Ask for a shorter time.")
            answer = self._get(url, parameters) or {}
        columns = schema_fields(answer.get("schema"))
        names = [column.name for column in columns]
        while True:
            for row in decode_rows(columns, answer.get("rows") or ()):
                yield dict(zip(names, row, strict=True))
            if not (token := answer.get("pageToken")):
                return
            answer = self._get(url, {**parameters, "pageToken": token}) or {}

    def _job_pages(
        self, project: str, since: datetime, until: datetime, more: Mapping[str, object]
    ) -> Iterator[list[dict[str, Any]]]:
        parameters: dict[str, object] = {
            "minCreationTime": _milliseconds(since),
            "maxCreationTime": _milliseconds(until),
            "maxResults": self._page,
            **more,
        }
        while True:
            answer = self._get(f"{_API}/{quote(project)}/jobs", parameters) or {}
            yield answer.get("jobs") or []
            if not (token := answer.get("nextPageToken")):
                return
            parameters["pageToken"] = token

    def _get(
        self, url: str, parameters: Mapping[str, object], *, may_be_missing: bool = False
    ) -> dict[str, Any] | None:
        return self._call("GET", url, may_be_missing=may_be_missing, params=dict(parameters))

    def _call(self, method: str, url: str, *, may_be_missing: bool = False, **more: Any) -> dict[str, Any] | None:
        pause = self._pause
        for left in reversed(range(_TRIES)):
            try:
                # Without redirects: a token goes to no other host.
                answer = self._http.request(
                    method, url, headers={"Authorization": f"Bearer {self._token()}"}, allow_redirects=False, **more
                )
            except (requests.RequestException, OSError):
                if not left:
                    raise _unreached() from None
            else:
                if answer.status_code < _ERROR:
                    return _object(answer)
                if may_be_missing and answer.status_code == _NOT_FOUND:
                    return None
                if not left or answer.status_code not in _AGAIN:
                    raise _refused(answer)
            time.sleep(pause)
            pause *= 2
        raise AssertionError


def _unreached() -> AskingError:
    return AskingError(
        "BigQuery cannot be reached from here.", "Check the network and `gateway.upstream`, and try again."
    )


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        parsed = answer.json()
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AskingError(
            "The answer is not BigQuery's: something else stands in between.", "Check `gateway.upstream`."
        )
    return parsed


def _refused(answer: requests.Response) -> AskingError:
    message = ""
    with contextlib.suppress(ValueError, AttributeError):
        message = str(answer.json().get("error", {}).get("message", ""))
    said = f"BigQuery answered {answer.status_code}" + (
        f": {message[:_LONGEST_MESSAGE].rstrip('.')}." if message else "."
    )
    if answer.status_code in _FORBIDDEN:
        return AskingError(
            said,
            "Grant roles/bigquery.resourceViewer and roles/bigquery.user on the project to the account that asks, or name "
            "another one under `reconcile.credential`.",
        )
    if answer.status_code in _AGAIN:
        return AskingError(said, "Try again later.")
    return AskingError(said, "Check how the project and the location are spelled.")


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
