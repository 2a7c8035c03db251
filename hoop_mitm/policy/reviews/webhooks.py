"""Telling others of reviews, in the manner of Standard Webhooks: signed, and safe to hear twice.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hoop_mitm.errors import ConfigError
from hoop_mitm.policy.reviews.showing import summary
from hoop_mitm.policy.reviews.store import Happened

PAUSES: Final = tuple(timedelta(seconds=each) for each in (1, 5, 30, 120, 600, 1800, 3600, *[7200] * 11))
"""Before each new try: a day in all. After the last it is given up."""

_SHORTEST: Final = 16
_PREFIX: Final = "whsec_"


def secret_of(file: Path) -> bytes:
    """What a webhook's messages are signed with: the content of a file, or what it means when it begins with ``whsec_``.

    Raises:
        ConfigError: it cannot be read, or is too short to be a secret.
    """
    try:
        text = file.read_text().strip()
        secret = (
            base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else text.encode()
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"the secret of a webhook cannot be read ({type(error).__name__})", file=file) from None
    if len(secret) < _SHORTEST:
        raise ConfigError(
            f"the secret of a webhook has fewer than {_SHORTEST} bytes; make one with "
            "`(printf whsec_; openssl rand -base64 32)`",
            file=file,
        )
    return secret


def message_of(happened: Happened, now: datetime, *, with_statement: bool) -> bytes:
    """The body that is posted."""
    review = happened.review
    data: dict[str, Any] = summary(review, now)
    if with_statement:
        data["statement"] = review.held.statement
    data["event"] = {"message": happened.change.message, "by": str(happened.change.by) if happened.change.by else None}
    return json.dumps(
        {"type": happened.change.type, "timestamp": happened.at.isoformat(), "data": data}, ensure_ascii=False
    ).encode()


def headers_of(message_id: str, body: bytes, secret: bytes, now: datetime) -> Mapping[str, str]:
    """The three headers by which the receiver can tell that it is from us, fresh, and not heard before."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
