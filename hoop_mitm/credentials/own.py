"""The token of a connection's own credential, for what the gateway's owner asks outside of any request."""

import time
from collections.abc import Callable

import requests

from hoop_mitm.config.model import ApplicationDefault, Federation, Impersonation, ServiceAccountKey
from hoop_mitm.errors import CredentialError

_LEFT = 60.0
"""Seconds that a token must still be good for."""


def own_token(
    credential: ServiceAccountKey | ApplicationDefault | Impersonation | Federation, http: requests.Session
) -> Callable[[], str]:
    """Gives an access token that is good now, each time it is called. Blocks while it fetches one.

    Raises:
        CredentialError: the credential is each person's own, and so nobody's here.
        ConfigError: it cannot be used.
    """
    if isinstance(credential, Federation):
        raise CredentialError(
            "Each person's own identity is used at Google (`federation`), so there is no credential to ask with. Name one "
            "under `reconcile.credential`."
        )
    from hoop_mitm.credentials import google

    account = credential.service_account if isinstance(credential, Impersonation) else None
    credentials = google.build(credential, account=account, subject_token=None)
    value, expires_at = "", 0.0

    def token() -> str:
        nonlocal value, expires_at
        if expires_at - time.time() < _LEFT:
            value, expires_at = google.refresh(credentials, http)
        return value

    return token
