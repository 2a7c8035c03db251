"""Signing in on another device: this one shows a code, a person enters it in a browser anywhere (RFC 8628)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError

from hoop_mitm.errors import LoginError
from hoop_mitm.login.provider import Provider

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL = 5.0
_SLOWER = 5.0
_NO_ANSWER = 5


@dataclass(frozen=True, slots=True)
class Code:
    """What the person is shown.

    Attributes:
        user_code: to enter.
        page: where.
        page_with_code: the same with the code in it, when the issuer gives one.
        expires_at: monotonic seconds.
        interval: seconds between two questions.
    """

    user_code: str
    page: str
    page_with_code: str | None
    expires_at: float
    interval: float
    device_code: str = field(repr=False)


def sign_in(provider: Provider, show: Callable[[Code], None]) -> dict[str, Any]:
    """The issuer's token answer, once the person has entered the code that ``show`` is given.

    Raises:
        LoginError: denied, expired, or not possible here.
        Unreachable: the issuer does not answer.
    """
    code = _begin(provider)
    show(code)
    client = provider.client()
    interval, failures = code.interval, 0
    while time.monotonic() < code.expires_at:
        time.sleep(interval)
        try:
            return dict(
                client.fetch_token(provider.offer.token_endpoint, grant_type=_GRANT, device_code=code.device_code)
            )
        except requests.RequestException as error:
            # RFC 8628 section 3.5: a network that fails is asked less often, and not for ever.
            failures += 1
            interval *= 2
            if failures >= _NO_ANSWER:
                raise provider.unreachable(error) from None
        except AuthlibBaseError as error:
            if error.error == "slow_down":
                interval += _SLOWER
            elif error.error != "authorization_pending":
                raise provider.refused(str(error.error or ""), str(error.description or "")) from None
        except ValueError:
            raise LoginError(f"{provider.profile.issuer} gave an answer that is none of OAuth's. Try again.") from None
    raise provider.refused("expired_token")


def _begin(provider: Provider) -> Code:
    endpoint = provider.offer.device_endpoint
    if endpoint is None:
        raise LoginError(
            f"{provider.profile.issuer} does not offer the device flow. Run `hoop-mitm login --browser`, or have its "
            "administrator allow it."
        )
    form = {"client_id": provider.profile.client_id, "scope": provider.scope}
    if provider.profile.client_secret:
        form["client_secret"] = provider.profile.client_secret
    status, said = provider.post(endpoint, form)
    if status != requests.codes.ok:
        raise provider.refused(str(said.get("error", "")), str(said.get("error_description", "")))
    try:
        # Google says `verification_url`.
        page = str(said.get("verification_uri") or said["verification_url"])
        complete = said.get("verification_uri_complete")
        code = Code(
            user_code=str(said["user_code"]),
            page=page,
            page_with_code=str(complete) if complete else None,
            expires_at=time.monotonic() + float(said["expires_in"]),
            interval=float(said.get("interval", _INTERVAL)),
            device_code=str(said["device_code"]),
        )
    except (KeyError, TypeError, ValueError):
        raise LoginError(f"{provider.profile.issuer} gave no device code that can be used. Try again.") from None
    if not all(text.isprintable() for text in (code.user_code, code.page, code.page_with_code or "")):
        raise LoginError(f"{provider.profile.issuer} gave a code that cannot be shown.")
    return code
