"""Is there a Google credential on this machine that leads past the gateway?

As long as there is one, whoever finds it can ask BigQuery directly: nobody is asked who they are, and nothing is
recorded.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hoop_mitm.doctor.finding import Finding
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.doctor.variables import is_ours, read_json

_CREDENTIAL_TYPES = (
    "service_account",
    "authorized_user",
    "impersonated_service_account",
    "external_account_authorized_user",
)
_FILE_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "BIGQUERY_KEY_FILE",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
)
_METADATA_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
_USUAL_PLACES = (
    ".", "Downloads", "Desktop", "Documents", "keys", ".keys", ".secrets", ".gcp", ".google", ".config", ".config/gcloud",
    ".dbt", ".cursor",
)  # fmt: skip
_LARGEST_KEY = 64 * 1024
_MOST_FILES = 500
_VENDOR = Path("/sys/class/dmi/id/product_name")
_WHY = "With it BigQuery can be asked past the gateway: unseen, and with whatever rights it has."
_BQ_CREDENTIAL = re.compile(r"^\s*-{0,2}(?:\w*credential_file|service_account\w*|oauth_access_token)\b", re.MULTILINE)


def leftovers(patient: Patient) -> Iterator[Finding]:
    """Each credential once."""
    known = _gateways_own(patient)
    named = dict(_named_files(patient))
    for file, variable in named.items():
        if file not in known:
            yield Finding(
                "leftover.variable",
                "broken",
                f"{variable} names {file}, which is a Google credential.",
                _WHY,
                f"unset {variable}, where it is set (your shell's start-up files), and remove the file; revoke the key "
                "in Google's console if more than you could read it.",
            )
    gcloud = _gcloud_directories(patient)
    for directory in gcloud:
        yield from _application_default(directory / "application_default_credentials.json", named, known)
        yield from _accounts(directory)
    for file in _key_files(patient):
        if file not in known and file not in named and file.name != "application_default_credentials.json":
            yield Finding(
                "leftover.key_file",
                "warning",
                f"{file} is a Google credential.",
                _WHY,
                "Remove it, and revoke the key in Google's console; what needs it goes through the gateway instead.",
            )
    yield from _bq_settings(patient)
    yield from _metadata(patient)


def _gateways_own(patient: Patient) -> set[Path]:
    """Key files that the gateway itself is configured with: :mod:`secrets` looks after those."""
    from hoop_mitm.doctor.secrets import key_files

    return {file.resolve() for file in key_files(patient)}


def _named_files(patient: Patient) -> Iterator[tuple[Path, str]]:
    for variable in reversed(_FILE_VARIABLES):
        value = patient.environment.get(variable)
        if value and (document := read_json(Path(value))) and not is_ours(document):
            yield Path(value).resolve(), variable


def _gcloud_directories(patient: Patient) -> list[Path]:
    places = [patient.home / ".config" / "gcloud"]
    if configured := patient.environment.get("CLOUDSDK_CONFIG"):
        places.append(Path(configured))
    return list(dict.fromkeys(places))


def _application_default(file: Path, named: dict[Path, str], known: set[Path]) -> Iterator[Finding]:
    document = read_json(file)
    if document and not is_ours(document) and file.resolve() not in named and file.resolve() not in known:
        yield Finding(
            "leftover.application_default",
            "warning",
            f"{file} holds a login of `gcloud auth application-default login`.",
            f"Every Google client library takes it when nothing else is said. {_WHY}",
            "gcloud auth application-default revoke",
        )


def _accounts(directory: Path) -> Iterator[Finding]:
    database = directory / "credentials.db"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            rows = opened.execute("SELECT account_id, value FROM credentials").fetchall()
    except (sqlite3.Error, OSError):
        return
    accounts = [str(account) for account, value in rows if "/workloadIdentityPools/hoop-mitm/" not in str(value)]
    if accounts:
        yield Finding(
            "leftover.gcloud",
            "warning",
            f"gcloud is signed in here as {', '.join(sorted(accounts))} ({database}).",
            f"bq and gcloud use that login when nothing else is said. {_WHY}",
            "Take BigQuery's rights from that account, or sign it out: gcloud auth revoke ACCOUNT",
        )


def _key_files(patient: Patient) -> Iterator[Path]:
    seen = 0
    for place in dict.fromkeys([*(patient.home / name for name in _USUAL_PLACES), Path.cwd()]):
        try:
            files = sorted(place.glob("*.json"))
        except OSError:
            continue
        for file in files:
            seen += 1
            if seen > _MOST_FILES:
                return
            try:
                if file.is_file() and file.stat().st_size <= _LARGEST_KEY and _is_credential(file):
                    yield file.resolve()
            except OSError:
                continue


def _is_credential(file: Path) -> bool:
    document = read_json(file)
    return bool(
        document
        and document.get("type") in _CREDENTIAL_TYPES
        and (document.keys() & {"private_key", "refresh_token", "source_credentials"})
    )


def _bq_settings(patient: Patient) -> Iterator[Finding]:
    file = patient.home / ".bigqueryrc"
    try:
        found = _BQ_CREDENTIAL.search(file.read_text(errors="replace"))
    except OSError:
        return
    if found:
        yield Finding(
            "leftover.bigqueryrc",
            "warning",
            f"{file} gives bq a credential of its own ({found[0].strip().lstrip('-')}).",
            _WHY,
            "Take that line out.",
        )


def _metadata(patient: Patient) -> Iterator[Finding]:
    found = [name for name in _METADATA_VARIABLES if patient.environment.get(name)]
    try:
        is_google = "Google" in _VENDOR.read_text()
    except OSError:
        is_google = False
    if found or is_google:
        where = (
            f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} set"
            if found
            else "This is a machine of Google's cloud"
        )
        yield Finding(
            "leftover.metadata",
            "warning",
            f"{where}: a metadata server gives whoever asks it the token of a service account.",
            _WHY,
            f"unset {' '.join(found)}" if found else "Take BigQuery's rights from this machine's service account.",
        )
