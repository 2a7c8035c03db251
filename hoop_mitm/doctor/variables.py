"""Do a shell's variables say the same thing, and lead where they should?"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from hoop_mitm.client.environment import BYPASSES, leads_google_past
from hoop_mitm.doctor.finding import Finding, NotChecked
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.errors import IdentityError
from hoop_mitm.identity.audience import parse_audience

_AGAIN = 'Set them anew: eval "$(hoop-mitm env)" in this shell, or `hoop-mitm setup cursor --terminal` for Cursor\'s.'


def contradictions(patient: Patient) -> Iterator[Finding]:
    """Only in a shell that is meant to go through the gateway."""
    if not patient.in_force:
        raise NotChecked("this shell is not set up for the gateway; clients get their variables from `hoop-mitm run`")
    yield from _proxies(patient.environment, patient.url)
    yield from _exceptions(patient.environment)
    yield from _bypasses(patient.environment)
    yield from _credentials(patient.environment)


def _proxies(environment: Mapping[str, str], url: str) -> Iterator[Finding]:
    upper, lower = environment.get("HTTPS_PROXY"), environment.get("https_proxy")
    grpc = environment.get("grpc_proxy") or lower
    if not lower and not environment.get("grpc_proxy"):
        yield Finding(
            "variables.upper_case_only",
            "broken",
            "HTTPS_PROXY is set, https_proxy is not.",
            "Python's gRPC (BigQuery's Storage API) reads the lower-case one only, and goes past the gateway.",
            _AGAIN,
        )
    elif not upper and not lower:
        yield Finding(
            "variables.no_proxy_set",
            "broken",
            "Only grpc_proxy is set, neither HTTPS_PROXY nor https_proxy.",
            "All clients but gRPC's go past the gateway.",
            _AGAIN,
        )
    elif len({each.rstrip("/") for each in (upper, lower, grpc) if each}) > 1:
        yield Finding(
            "variables.proxies_differ",
            "broken",
            "HTTPS_PROXY, https_proxy and grpc_proxy name different proxies.",
            f"Which of them a program reads differs: some ask {url}, some another.",
            _AGAIN,
        )


def _exceptions(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in ("NO_PROXY", "no_proxy", "no_grpc_proxy"):
        past = [entry for entry in environment.get(name, "").split(",") if leads_google_past(entry)]
        if past:
            yield Finding(
                "variables.no_proxy",
                "broken",
                f"{name} has {', '.join(past)}, which covers Google's hosts.",
                "Clients go past the gateway, to Google itself.",
                f"Take that entry out of {name}. {_AGAIN}",
            )
            return


def _bypasses(environment: Mapping[str, str]) -> Iterator[Finding]:
    found = [name for name in BYPASSES if environment.get(name)]
    if found:
        yield Finding(
            "variables.bypass",
            "broken",
            f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} set.",
            "By these, clients ask another address, or as somebody else, than the gateway's variables say.",
            f"unset {' '.join(found)}",
        )


def _credentials(environment: Mapping[str, str]) -> Iterator[Finding]:
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    file = environment.get(name)
    document = read_json(Path(file)) if file else None
    if not file or document is None:
        yield Finding(
            "variables.no_credentials",
            "broken",
            f"{name} {'names ' + file + ', which cannot be read' if file else 'is not set'}.",
            "Clients have no way to trade your login, or use another credential that they find.",
            _AGAIN,
        )
        return
    if not is_ours(document):
        yield Finding(
            "variables.foreign_credentials",
            "broken",
            f"{name} names {file}, which is a credential of Google's own.",
            "Clients present it instead of your login: past the gateway it works, through it, it is refused.",
            f"Keep that key where no client finds it, or remove it. {_AGAIN}",
        )
    elif (
        "executable" in str(document.get("credential_source"))
        and environment.get("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES") != "1"
    ):
        yield Finding(
            "variables.executables",
            "broken",
            "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES is not 1.",
            "Google's libraries then do not run the program that gives them your token.",
            _AGAIN,
        )


def read_json(file: Path) -> dict[str, object] | None:
    """The JSON object in a file, if there is one."""
    try:
        document = json.loads(file.read_bytes()[: 2**20])
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def is_ours(document: Mapping[str, object]) -> bool:
    """Whether a credentials file is a way to trade a login at a hoop-mitm, and no credential of Google's."""
    try:
        parse_audience(str(document.get("audience")))
    except IdentityError:
        return False
    return document.get("type") == "external_account"
