"""What the gateway itself says of a token: asked as any client asks, through its proxy, at Google's token endpoints."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from hoop_mitm import outbound
from hoop_mitm.config.model import Upstream
from hoop_mitm.errors import LoginError, Unreachable
from hoop_mitm.identity import audience_for
from hoop_mitm.login.profile import ClientProfile

_INTROSPECT = "https://sts.googleapis.com/v1/introspect"
_EXCHANGE = "https://sts.googleapis.com/v1/token"
_REVOKE = "https://oauth2.googleapis.com/revoke"
_API = "https://bigquery.googleapis.com/hoop/v1"
_TIMEOUT = (10.0, 15.0)
"""To connect (a busy gateway takes its time to shake hands; where none listens, that is known at once), and to answer."""
_PATIENT = (10.0, 40.0)
"""For questions whose answer may be waited for."""


class NotStarted(Unreachable):
    """The gateway does not answer, and is one that ``hoop-mitm run`` starts on this machine."""


@dataclass(frozen=True, slots=True)
class BudgetView:
    """What the gateway says is left of a budget.

    Attributes:
        name: of the budget in ``hoop.yaml``.
        per: who has one each: ``principal``, ``group``, ``connection``.
        of: whose this one is.
        every: ``hour``, ``day``, ``month``.
        limit_bytes, used_bytes, reserved_bytes, left_bytes: billed; reserved is what running statements may be billed.
        limit, left: in words, with the price.
        begins_anew: ISO 8601, when all of it is there again.
    """

    name: str
    per: str
    of: str
    every: str
    limit_bytes: int
    used_bytes: int
    reserved_bytes: int
    left_bytes: int
    limit: str
    left: str
    begins_anew: str


@dataclass(frozen=True, slots=True)
class GatewayView:
    """Who the gateway takes the holder of a token for.

    Attributes:
        name: as it writes the principal into its recording.
        groups: sorted.
        kind: ``user`` or ``machine``.
        connections: names of those that this principal may use.
        expires_at: seconds since the epoch; when it stops to accept the token.
        budgets: those that limit what this principal may spend.
    """

    name: str
    groups: tuple[str, ...]
    kind: str
    connections: tuple[str, ...]
    expires_at: float
    budgets: tuple[BudgetView, ...] = ()


def view_of(profile: ClientProfile, id_token: str) -> GatewayView:
    """What the gateway says of an ID token.

    Raises:
        LoginError: it does not accept the token; in its own words.
        Unreachable: it does not answer.
    """
    said = _post(profile, _INTROSPECT, {"token": id_token})
    if said.get("active") is not True:
        raise LoginError(_why_not(profile, id_token))
    try:
        return GatewayView(
            str(said["username"]),
            tuple(said["groups"]),
            said["kind"],
            tuple(said["connections"]),
            float(said["exp"]),
            tuple(_budget(budget) for budget in said.get("budgets", ())),
        )
    except (KeyError, TypeError, ValueError):
        raise _not_ours(profile) from None


def _budget(said: dict[str, Any]) -> BudgetView:
    """Of a newer gateway, too, which may say more."""
    datetime.fromisoformat(said["begins_anew"])
    return BudgetView(**{each.name: said[each.name] for each in fields(BudgetView)})


def sign_out(profile: ClientProfile, id_token: str) -> None:
    """Ends everything that the gateway has accepted for this person so far.

    Raises:
        Unreachable: it does not answer.
    """
    _post(profile, _REVOKE, {"token": id_token})


def _why_not(profile: ClientProfile, id_token: str) -> str:
    """Introspection says no more than no (RFC 7662 section 2.2); a refused exchange says why."""
    said = _post(
        profile,
        _EXCHANGE,
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": audience_for(profile.connection),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": id_token,
        },
    )
    return str(said.get("error_description") or "The gateway does not accept your login.")


def _post(profile: ClientProfile, url: str, form: dict[str, str]) -> dict[str, Any]:
    return _call(profile, "POST", url, data=form)[1]


def call_api(
    profile: ClientProfile,
    id_token: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, str] | None = None,
    parameters: Mapping[str, object] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Asks the gateway's own API (``/hoop/v1/…``), as whoever the token is of: the status, and what it says.

    Raises:
        Unreachable: it does not answer.
    """
    return _call(
        profile,
        method,
        f"{_API}{path}",
        json=body,
        params=parameters,
        headers={"Authorization": f"Bearer {id_token}"},
        timeout=_PATIENT,
    )


def _call(profile: ClientProfile, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
    gateway, authority = profile.gateway, profile.authority
    if authority is None or not authority.is_file():
        # With the roots of this machine any proxy would do, and the token would go to Google.
        raise _unproven(profile, authority)
    session = outbound.session(Upstream(proxy=gateway.url), ca=authority)
    # The gateway itself may be on this machine, and is the proxy here, not what is reached through it.
    session.proxies = {"https": gateway.url}
    try:
        answer = session.request(method, url, allow_redirects=False, **{"timeout": _TIMEOUT, **more})
        said = answer.json()
    except requests.exceptions.SSLError:
        raise Unreachable(
            f"What answers at {gateway.url} is not the gateway of your client file: its certificate is another "
            "authority's than the one that it names. Run `hoop-mitm init` again, or ask the gateway's owner."
        ) from None
    except requests.exceptions.JSONDecodeError:
        raise _not_ours(profile) from None
    except requests.RequestException:
        if _is_started_here(profile):
            raise NotStarted(
                f"The gateway at {gateway.url} does not answer; `hoop-mitm run` starts it when it is needed."
            ) from None
        raise Unreachable(
            f"The gateway at {gateway.url} does not answer. Start it, or check `gateway` in {_file()}."
        ) from None
    if not isinstance(said, dict) or (answer.status_code >= requests.codes.server_error and "error" not in said):
        raise _not_ours(profile)
    return answer.status_code, said


def _unproven(profile: ClientProfile, authority: Path | None) -> Unreachable:
    if authority is None:
        return Unreachable(
            f"{_file()} does not say by which authority the gateway is known, so nothing was sent to "
            f"{profile.gateway.url}. Ask its owner for the certificate, and name it under gateway.ca."
        )
    if _is_started_here(profile):
        return NotStarted(
            f"There is no certificate of the gateway's authority at {authority} yet: `hoop-mitm run` starts the gateway "
            "when it is needed, which makes it."
        )
    return Unreachable(
        f"There is no certificate of the gateway's authority at {authority}, so nothing was sent to "
        f"{profile.gateway.url}. Ask its owner for it."
    )


def _is_started_here(profile: ClientProfile) -> bool:
    return bool(profile.gateway.config and profile.gateway.config.is_file())


def _not_ours(profile: ClientProfile) -> Unreachable:
    return Unreachable(f"What answers at {profile.gateway.url} is no hoop-mitm gateway.")


def _file() -> str:
    from hoop_mitm.login.profile import chosen_file

    return str(chosen_file(None, os.environ))
