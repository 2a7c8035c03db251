"""The credentials file that a client is given: it holds no secret, only the way to trade the user's own token."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TOKEN_HOST = "https://sts.googleapis.com"  # noqa: S105 - the address of an endpoint

# Google's libraries take 5 to 120 seconds. A login may have to be renewed meanwhile.
_EXECUTABLE_MILLISECONDS = 60_000


@dataclass(frozen=True, slots=True)
class Executable:
    """A program that prints the token, as AIP-4117 says.

    ``command`` is its path: client libraries split a command line each in their own way, so it has no arguments.
    Clients run it only where ``GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES`` is ``1``.
    """

    command: Path

    def as_source(self) -> dict[str, Any]:
        command = str(self.command)
        quoted = f'"{command}"' if any(letter.isspace() for letter in command) else command
        return {"executable": {"command": quoted, "timeout_millis": _EXECUTABLE_MILLISECONDS}}


@dataclass(frozen=True, slots=True)
class Address:
    """An address that hands tokens out, such as GitHub's to its Actions.

    The file then holds ``headers``, which may be a secret of the workload: it is written for its owner alone.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: The field of the JSON answer that has the token.
    token_field: str = "value"  # noqa: S105 - a name

    def as_source(self) -> dict[str, Any]:
        answer = {"type": "json", "subject_token_field_name": self.token_field}
        return {"url": self.url, "headers": dict(self.headers), "format": answer}


#: Where a client library gets the user's own OIDC token from. A path is a text file with nothing but the token;
#: somebody keeps it fresh.
type TokenSource = Path | Executable | Address


def write_credentials(path: Path, audience: str, source: TokenSource, *, endpoint: str | None = None) -> Path:
    """Write an ``external_account`` file (Google's AIP-4117) to ``path``, readable for its owner.

    Every Google client library then gets the OIDC token from ``source`` whenever it needs to, trades it at Google's
    STS address, where the gateway answers, and refreshes by itself.

    Args:
        path: the file to write.
        audience: names connection and session (:func:`hoop_mitm.identity.audience.audience_for`).
        source: where the token is.
        endpoint: URL of the gateway's endpoint, for clients that do not use the gateway as their proxy.
    """
    host = (endpoint or _TOKEN_HOST).rstrip("/")
    document = {
        "type": "external_account",
        "universe_domain": "googleapis.com",
        "audience": audience,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{host}/v1/token",
        "token_info_url": f"{host}/v1/introspect",
        "credential_source": _source(source),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def _source(source: TokenSource) -> dict[str, Any]:
    if isinstance(source, Path):
        return {"file": str(source.absolute()), "format": {"type": "text"}}
    return source.as_source()
