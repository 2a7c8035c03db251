"""Is somebody signed in, does the clock agree with the issuer's, and does a question get its answer?"""

import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from uuid_utils import uuid7

from hoop_mitm.doctor.finding import Finding, NotChecked
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.errors import HoopError, Unreachable
from hoop_mitm.identity.audience import audience_for
from hoop_mitm.login.fresh import tokens_of

_SECONDS = 30
# As much as a gateway allows by default (identity.issuers[].leeway), and when to tell somebody.
_MOST_SKEW, _SOME_SKEW = 60.0, 20.0
_STS = "https://sts.googleapis.com/v1/token"
_EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}


def login(patient: Patient) -> Iterator[Finding]:
    """The login of whoever runs this."""
    if patient.client_file is None:
        raise NotChecked("there is no client file here: nobody signs in")
    try:
        tokens_of(patient.profile, clock=patient.clock)
    except Unreachable as error:
        yield Finding(
            "login.unreachable",
            "broken",
            str(error),
            "Your login cannot be renewed, and ends soon.",
            "Try again when the network is there; `issuer` and `ca` in the client file say who is asked.",
        )
    except HoopError as error:
        yield Finding(
            "login.none",
            "broken",
            str(error),
            "Clients have nothing to show the gateway, which refuses them.",
            "hoop-mitm login",
        )


def clock(patient: Patient) -> Iterator[Finding]:
    """This machine's clock against the issuer's."""
    from hoop_mitm.login.provider import Provider

    address = f"{patient.profile.issuer.rstrip('/')}/.well-known/openid-configuration"
    asked = patient.clock()
    try:
        answer = Provider(patient.profile).http.get(address, timeout=_SECONDS, allow_redirects=False)
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError, TypeError):
        raise NotChecked("the issuer does not say what time it is") from None
    # Theirs is of some moment between the question and the answer: an issuer that is slow is none with another clock.
    skew = max(asked - theirs, 0.0) or min(patient.clock() - theirs, 0.0)
    if abs(skew) <= _SOME_SKEW:
        return
    worse = abs(skew) > _MOST_SKEW
    yield Finding(
        "clock.skew",
        "broken" if worse else "warning",
        f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the issuer's.",
        "Tokens are good from one moment to another: with clocks that differ they look expired, or not good yet.",
        "Have the system set its clock (timedatectl set-ntp true, or the Date & Time settings on a Mac).",
    )


def query(patient: Patient) -> Iterator[Finding]:
    """A dry run, the way that every client goes: login, trade, question, answer. It reads no data and costs nothing."""
    if not patient.listener:
        raise NotChecked("the gateway is not reached")
    if patient.client_file is None:
        raise NotChecked("nobody signs in here")
    try:
        token = tokens_of(patient.profile, clock=patient.clock).id_token
    except HoopError:
        raise NotChecked("nobody is signed in") from None
    audience = audience_for(patient.profile.connection, str(uuid7()), "doctor")
    with requests.Session() as http:
        http.trust_env = False
        http.proxies = {"https": patient.url}
        http.verify = str(patient.authority)
        try:
            traded = http.post(_STS, data={**_EXCHANGE, "audience": audience, "subject_token": token}, timeout=_SECONDS)
            if not traded.ok:
                yield _refused_login(_words(traded, "error_description"))
                return
            session = str(_said(traded).get("access_token"))
            asked = http.post(
                f"https://bigquery.googleapis.com/bigquery/v2/projects/{patient.profile.project()}/queries",
                json={"query": "SELECT 1", "useLegacySql": False, "dryRun": True},
                headers={"Authorization": f"Bearer {session}"},
                timeout=_SECONDS,
            )
        except requests.RequestException as error:
            yield Finding(
                "query.failed",
                "broken",
                f"A dry run through the gateway failed: {type(error).__name__}.",
                "Clients fail the same way.",
                "The gateway's log says more.",
            )
            return
    if not asked.ok:
        yield Finding(
            "query.refused",
            "broken",
            f"A dry run of `SELECT 1` was answered with {asked.status_code}: {_words(asked, 'message')}",
            "Clients get the same answer.",
            "If the message names hoop-mitm, the gateway's rules or configuration say no; else BigQuery does: look at "
            "the connection's credential and its rights.",
        )


def _refused_login(message: str) -> Finding:
    return Finding(
        "login.refused",
        "broken",
        f"The gateway does not accept your login: {message}",
        "Clients get the same answer.",
        "hoop-mitm login; if it lasts, the issuer, audience and groups in hoop.yaml do not fit your tokens.",
    )


def _said(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except (ValueError, json.JSONDecodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _words(answer: requests.Response, name: str) -> str:
    said = _said(answer)
    inner = said.get("error")
    text = (inner.get(name) if isinstance(inner, dict) else None) or said.get(name) or "no reason is given"
    return "".join(letter if letter.isprintable() else " " for letter in str(text))[:300]
