"""The credentials file that a client is given: it holds no secret, only the way to trade the user's own token."""

import json
from pathlib import Path

_TOKEN_URL = "https://sts.googleapis.com/v1/token"  # noqa: S105 - the address of an endpoint
_INTROSPECTION_URL = "https://sts.googleapis.com/v1/introspect"


def write_credentials(path: Path, audience: str, subject_token_file: Path) -> Path:
    """Write an ``external_account`` file (Google's AIP-4117) to ``path``.

    Every Google client library then reads the OIDC token from ``subject_token_file`` whenever it needs to, trades
    it at Google's STS address, where the gateway answers, and refreshes by itself.

    Args:
        path: the file to write.
        audience: names connection and session (:func:`hoop_mitm.identity.exchange.audience_for`).
        subject_token_file: a text file with nothing but the user's OIDC token; somebody keeps it fresh.
    """
    document = {
        "type": "external_account",
        "universe_domain": "googleapis.com",
        "audience": audience,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": _TOKEN_URL,
        "token_info_url": _INTROSPECTION_URL,
        "credential_source": {"file": str(subject_token_file.absolute()), "format": {"type": "text"}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
