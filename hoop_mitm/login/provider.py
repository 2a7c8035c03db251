"""The issuer as a client meets it: what it offers, what it answers, and what that means in plain words."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.request import getproxies_environment

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client.oauth2_session import OAuth2ClientAuth
from authlib.oauth2.client import OAuth2Client

from hoop_mitm import outbound
from hoop_mitm.config.model import Upstream
from hoop_mitm.errors import LoginError, Unreachable
from hoop_mitm.login.profile import CHAINED, ClientProfile

_ROOTS = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
_UNAUTHORIZED = 401
_NOT_FOUND = 404

#: OAuth's error codes (RFC 6749 section 5.2, RFC 8628 section 3.5) as what happened and what to do.
_IN_WORDS = {
    "access_denied": "The sign-in was denied. If that was not you, tell your security team; else run `hoop-mitm login` again.",
    "expired_token": "The code has expired before anybody entered it. Run `hoop-mitm login` again.",
    "invalid_grant": "Your login is over: the identity provider takes it no more. Run `hoop-mitm login`.",
    "invalid_client": "{issuer} does not know the application {client}. Have `client_id` in the client file checked.",
    "unauthorized_client": "{issuer} does not let the application {client} sign in this way. Its administrator has to "
    "allow the device flow, or authorization code with PKCE, for it.",
    "invalid_scope": "{issuer} does not grant what is asked for. Have `scopes` in the client file checked.",
}


@dataclass(frozen=True)
class Offer:
    """What the issuer says of itself (OpenID Connect Discovery, RFC 8414). ``None``: it does not offer it."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    authorization_endpoint: str | None
    device_endpoint: str | None
    revocation_endpoint: str | None
    scopes: tuple[str, ...] | None
    algorithms: tuple[str, ...]


class Client(OAuth2Client):
    """Authlib's client over a session of ours: its own would take proxies and roots from the environment."""

    client_auth_class = OAuth2ClientAuth
    # The other one refuses descriptions with line ends, as Entra writes them.
    oauth_error_class = OAuthError  # type: ignore[assignment] # as Authlib's own OAuth2Session does


class Provider:
    """The issuer of a profile."""

    def __init__(self, profile: ClientProfile) -> None:
        self.profile = profile

    @cached_property
    def offer(self) -> Offer:
        """What it offers, read from its discovery document.

        Raises:
            Unreachable: there is no answer.
            LoginError: the answer is not a discovery document of this issuer.
        """
        said = self._get(f"{self.profile.issuer.rstrip('/')}/.well-known/openid-configuration")
        if said.get("issuer") != self.profile.issuer:
            raise LoginError(
                f"What answers at {self.profile.issuer} calls itself another issuer. Write `issuer` in the client file "
                "exactly as its discovery document has it."
            )
        return Offer(
            issuer=self.profile.issuer,
            token_endpoint=self._endpoint(said, "token_endpoint") or self._incomplete(),
            jwks_uri=self._endpoint(said, "jwks_uri") or self._incomplete(),
            authorization_endpoint=self._endpoint(said, "authorization_endpoint"),
            device_endpoint=self._endpoint(said, "device_authorization_endpoint"),
            revocation_endpoint=self._endpoint(said, "revocation_endpoint"),
            scopes=_texts(said.get("scopes_supported")),
            algorithms=_texts(said.get("id_token_signing_alg_values_supported")) or ("RS256",),
        )

    @property
    def scope(self) -> str:
        """The scopes to ask for: those of the profile that the issuer knows."""
        known = self.offer.scopes
        return " ".join(scope for scope in self.profile.scopes if known is None or scope in known)

    def client(self, redirect_uri: str | None = None) -> Client:
        """For this issuer's endpoints."""
        profile = self.profile
        return Client(
            self.http,
            client_id=profile.client_id,
            client_secret=profile.client_secret,
            # Installed applications' secrets are none; in the body is where Google and RFC 6749 2.3.1 take them too.
            token_endpoint_auth_method="client_secret_post" if profile.client_secret else "none",
            revocation_endpoint_auth_method="client_secret_post" if profile.client_secret else "none",
            scope=self.scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def post(self, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and JSON answer of a form that is posted to one of its endpoints; an error has no answer.

        Raises:
            Unreachable: there is no answer.
        """
        try:
            answer = self.http.post(url, data=dict(form), headers={"accept": "application/json"}, allow_redirects=False)
        except requests.RequestException as error:
            raise self.unreachable(error) from None
        if answer.status_code >= requests.codes.server_error:
            raise self.unreachable()
        try:
            said = answer.json()
        except ValueError:
            said = None
        return answer.status_code, said if isinstance(said, dict) else {}

    def asked[T](self, ask: Callable[[], T]) -> T:
        """What ``ask`` gives, and its failures in words.

        Raises:
            Unreachable: there is no answer.
            LoginError: the issuer says no, or something that is no answer.
        """
        try:
            return ask()
        except AuthlibBaseError as error:
            raise self.refused(str(error.error or ""), str(error.description or "")) from None
        except requests.RequestException as error:
            raise self.unreachable(error) from None
        except ValueError:
            raise LoginError(
                f"{self.profile.issuer} gave an answer that is none of OAuth's. Try again; if it lasts, tell its administrator."
            ) from None

    def refused(self, code: str, description: str = "") -> LoginError:
        """An OAuth error in words. Of what the issuer says itself, only what can stand on a terminal is shown."""
        known = _IN_WORDS.get(code)
        if known:
            return LoginError(known.format(issuer=self.profile.issuer, client=self.profile.client_id))
        said = " ".join(text for text in (code, description) if text)
        said = "".join(letter if letter.isprintable() else " " for letter in said)[:200].strip()
        return LoginError(f"{self.profile.issuer} refused to sign you in: {said or 'it gives no reason'}.")

    def unreachable(self, error: Exception | None = None) -> Unreachable:
        """That there is no answer."""
        why = {
            requests.exceptions.SSLError: "its certificate is not trusted here; set `ca` in the client file to its authority",
            requests.exceptions.ProxyError: "the proxy on the way does not let us through",
            requests.exceptions.Timeout: "it does not answer in time",
            requests.exceptions.ConnectionError: "no connection",
        }
        # The order is from the particular to the general.
        reason = next((text for kind, text in why.items() if isinstance(error, kind)), "it answers with an error")
        return Unreachable(
            f"The identity provider {self.profile.issuer} cannot be reached ({reason}). Check your network and VPN, "
            "and try again."
        )

    @cached_property
    def http(self) -> requests.Session:
        """Reaches the issuer as this machine reaches the world, and not through the gateway."""
        return outside(self.profile)

    def fetch(self, url: str, _ca: Path | None = None) -> bytes:
        """A small document of the issuer's. Raises ``OSError`` when there is none."""
        return outbound.get(self.http, url)

    def _get(self, url: str) -> dict[str, Any]:
        try:
            said = json.loads(self.fetch(url))
        except requests.RequestException as error:
            raise self.unreachable(error) from None
        except OSError:
            raise self.unreachable() from None
        except ValueError:
            said = None
        return said if isinstance(said, dict) else self._incomplete()

    def _incomplete(self) -> NoReturn:
        raise LoginError(
            f"{self.profile.issuer} has no usable discovery document, so it is not an OpenID Connect issuer, or "
            "`issuer` in the client file is not written as it is there."
        )

    def _endpoint(self, said: Mapping[str, Any], name: str) -> str | None:
        url = said.get(name)
        if not isinstance(url, str):
            return None
        # Tokens go there: in the clear on this machine only, as for the issuer itself.
        local = url.startswith("http://") and self.profile.issuer.startswith("http://")
        return url if url.startswith("https://") or local else None


def outside(profile: ClientProfile, environment: Mapping[str, str] = os.environ) -> requests.Session:
    """A session that goes where this machine's programs go, but for the gateway itself."""
    proxies = {name.lower(): value for name, value in getproxies_environment().items()}
    proxy = environment.get(CHAINED) or proxies.get("https") or proxies.get("all")
    if proxy and proxy.rstrip("/") == profile.gateway.url.rstrip("/"):
        proxy = environment.get(CHAINED)
    direct = tuple(host.strip() for host in proxies.get("no", "").split(",") if host.strip())
    roots = next((Path(environment[name]) for name in _ROOTS if environment.get(name)), None)
    return outbound.session(Upstream(proxy=proxy or None, no_proxy=direct), ca=profile.ca or roots)


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None
