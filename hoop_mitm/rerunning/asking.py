"""BigQuery asked as any client of the gateway asks it, with the credentials file that the gateway's clients have."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from hoop_mitm import outbound
from hoop_mitm.config.model import Upstream
from hoop_mitm.errors import Unreachable
from hoop_mitm.serving.question import Json

_API = "https://bigquery.googleapis.com/bigquery/v2"
_SCOPE = "https://www.googleapis.com/auth/bigquery"
_AGENT = "hoop-mitm-rerun"
_TIMEOUT = (10.0, 300.0)
_WAIT_MS = 30_000
_ERRORS = 400


class Refused(Exception):
    """BigQuery, or the gateway, said no."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class Asking:
    """A session of the gateway's. Safe to use from several threads.

    Args:
        variables: of a client's outfit; the proxy, the roots and the credentials file are taken from there.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        from google.auth.transport.requests import AuthorizedSession, Request

        proxy, bundle = variables["HTTPS_PROXY"], Path(variables["REQUESTS_CA_BUNDLE"])
        plain = outbound.session(Upstream(proxy=proxy), ca=bundle)
        credentials = _credentials(Path(variables["GOOGLE_APPLICATION_CREDENTIALS"]))
        self._session = AuthorizedSession(credentials, auth_request=Request(plain))
        self._session.trust_env = False
        self._session.proxies = {"https": proxy}
        self._session.verify = str(bundle)
        self._session.headers["user-agent"] = _AGENT

    def insert(self, project: str, location: str | None, configuration: Json) -> Json:
        """The job that BigQuery has made.

        Raises:
            Refused: it has not.
            Unreachable: the gateway does not answer.
        """
        reference = {"projectId": project} | ({"location": location} if location else {})
        if not configuration.get("dryRun"):
            reference["jobId"] = f"hoop_rerun_{secrets.token_hex(12)}"
        body = {"jobReference": reference, "configuration": configuration}
        return self._ask("POST", f"{_API}/projects/{project}/jobs", json=body)

    def read(self, job: Json) -> None:
        """Waits for a job, and reads all of its result, which is then recorded.

        Raises:
            Refused: it failed.
            Unreachable: the gateway does not answer.
        """
        reference = job["jobReference"]
        url = f"{_API}/projects/{reference['projectId']}/queries/{reference['jobId']}"
        asked: dict[str, Any] = {"timeoutMs": _WAIT_MS, "formatOptions.useInt64Timestamp": "true"}
        if reference.get("location"):
            asked["location"] = reference["location"]
        while True:
            page = self._ask("GET", url, params=asked)
            if page.get("jobComplete") is False:
                continue
            if not page.get("pageToken"):
                return
            asked["pageToken"] = page["pageToken"]

    def wait(self, job: Json) -> Json:
        """The job when it is done; of jobs that give no rows."""
        reference = job["jobReference"]
        url = f"{_API}/projects/{reference['projectId']}/jobs/{reference['jobId']}"
        while (job.get("status") or {}).get("state") != "DONE":
            job = self._ask("GET", url, params={"location": reference.get("location")})
        if error := (job.get("status") or {}).get("errorResult"):
            raise Refused(_ERRORS, str(error.get("message", "")))
        return job

    def _ask(self, method: str, url: str, **how: Any) -> Json:
        from google.auth.exceptions import GoogleAuthError

        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT, **how)
            said = answer.json()
        except GoogleAuthError as error:
            raise Unreachable(f"The gateway does not accept this login: {_told(error)}") from None
        except (requests.RequestException, ValueError):
            raise Unreachable("The gateway does not answer. Look at its log, or at `hoop-mitm doctor`.") from None
        if answer.status_code >= _ERRORS:
            told: Json = (said.get("error") if isinstance(said, dict) else None) or {}
            raise Refused(answer.status_code, str(told.get("message") or f"HTTP {answer.status_code}"))
        return dict(said)


def _credentials(file: Path) -> Any:
    """As Google's libraries make them, but for asking Google which project the audience belongs to: to none."""
    from google.auth import identity_pool, pluggable

    described = json.loads(file.read_text())
    executable = "executable" in described["credential_source"]
    return (pluggable if executable else identity_pool).Credentials.from_info(described, scopes=[_SCOPE])


def _told(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__
