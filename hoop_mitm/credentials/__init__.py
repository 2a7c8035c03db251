"""Google's credential: obtained through google-auth, kept in memory, handed to the one place that puts it on a request.

Knows google-auth and the configuration; knows nothing of requests in flight.
"""

from hoop_mitm.credentials.own import own_token
from hoop_mitm.credentials.source import AccessToken, CredentialSource

__all__ = ["AccessToken", "CredentialSource", "own_token"]
