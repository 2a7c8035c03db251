"""What Google's client libraries expect of a program that gives them tokens (AIP-4117, "executable sourced").

A failure is an answer: the program ends with status 0, and the library shows the message. Any other status, and
anything else on its standard output or error, is shown as bytes, or not at all.
"""

import json

from hoop_mitm.errors import HoopError, Unreachable
from hoop_mitm.login.store import Tokens

TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105 - a name, not a secret


def success(tokens: Tokens) -> str:
    """The answer with a token."""
    return json.dumps(
        {
            "version": 1,
            "success": True,
            "token_type": TOKEN_TYPE,
            "id_token": tokens.id_token,
            "expiration_time": int(tokens.expires_at),
        }
    )


def failure(error: HoopError) -> str:
    """The answer without one. ``code`` is free text for Google; ours are HTTP's. Their libraries end the sentence."""
    code = "503" if isinstance(error, Unreachable) else "401"
    return json.dumps({"version": 1, "success": False, "code": code, "message": str(error).removesuffix(".")})
