"""An OpenID Connect issuer that a company could have: Okta or Entra in small.

Two issuers share one server: people (``/``), who sign in with code and PKCE or on another device (RFC 8628),
and machines (``/machines``), which bring client credentials. Nobody has a password: the sign-in page asks who
you want to be. Tokens, keys and discovery are real.
"""

import base64
import hashlib
import html
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from hoop_mitm.devkit.http import Request, Response

CLIENT_ID = "hoop-mitm"
_ALGORITHM = "RS256"
_CODE_LIFETIME = 120
_POLL_INTERVAL = 1
_SLOWER = 1
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, or something, that the issuer knows."""

    name: str
    subject: str
    email: str | None = None
    groups: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)


PEOPLE = (
    User("alice", "00u1alice", "alice@acme.example", ("analysts",)),
    User("bob", "00u2bob", "bob@acme.example", ("analysts", "reviewers")),
)


def machines() -> tuple[User, ...]:
    """The workloads, with secrets that are new each time."""
    return (User("ci", "repo:acme/reports:ref:refs/heads/main", groups=("pipelines",), secret=secrets.token_urlsafe()),)


class Keys:
    """One issuer's signing keys. The newest signs; the older ones stay published until they are forgotten."""

    def __init__(self) -> None:
        self._keys: list[tuple[str, rsa.RSAPrivateKey]] = []
        self.rotate()

    def rotate(self, *, forget: bool = False) -> str:
        """Adds a key and signs with it from now on; with ``forget`` the older ones are gone. Returns its ``kid``."""
        key = (secrets.token_hex(8), rsa.generate_private_key(public_exponent=65537, key_size=2048))
        self._keys = [key] if forget else [*self._keys, key]
        return key[0]

    def sign(self, claims: Mapping[str, Any]) -> str:
        kid, key = self._keys[-1]
        return jwt.encode(dict(claims), key, algorithm=_ALGORITHM, headers={"kid": kid})

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
                | {"kid": kid, "use": "sig", "alg": _ALGORITHM}
                for kid, key in self._keys
            ]
        }

    def public(self, kid: str) -> rsa.RSAPublicKey | None:
        return next((key.public_key() for known, key in self._keys if known == kid), None)


@dataclass(slots=True)
class _Device:
    client: str
    expires_at: float
    user: str | None = None
    refused: bool = False
    interval: float = _POLL_INTERVAL
    asked_at: float = 0.0


@dataclass(slots=True)
class _Refresh:
    """A refresh token. All that come from one sign-in are a family: when one is used twice, the whole family goes."""

    user: str
    client: str
    family: str
    signed_in_at: int
    used: bool = False


@dataclass(slots=True)
class _Code:
    client: str
    redirect_uri: str
    challenge: str
    user: str
    nonce: str
    expires_at: float


class OAuthError(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        self.error, self.description, self.status = error, description, status
        super().__init__(description)


class Issuer:
    """Both issuers. ``url`` and ``machine_url`` are their ``iss``; they are known once the server listens.

    ``outage = True`` makes every answer a 503 until it is ``False`` again; ``lifetime`` and ``device_lifetime`` are
    how long what it gives is good; ``device_flow = False`` takes the device flow out of what it offers.
    """

    def __init__(self) -> None:
        self.url = ""
        self.users: dict[str, User] = {user.name: user for user in PEOPLE}
        self.machines: dict[str, User] = {machine.name: machine for machine in machines()}
        self.outage = False
        self.lifetime = timedelta(hours=1)
        self.device_lifetime = timedelta(minutes=10)
        self.device_flow = True
        self._people_keys, self._machine_keys = Keys(), Keys()
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, _Device] = {}
        self._user_codes: dict[str, str] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._lock = threading.Lock()

    @property
    def machine_url(self) -> str:
        return f"{self.url}/machines"

    # What tests and the sandbox use directly.

    def token(
        self,
        user: str,
        audience: str = CLIENT_ID,
        lifetime: timedelta | None = None,
        **claims: Any,
    ) -> str:
        """An ID token for a user or machine by name. ``claims`` override or (with ``None``) remove what it says.

        Raises:
            KeyError: if there is nobody of that name.
        """
        machine = user in self.machines
        who = self.machines[user] if machine else self.users[user]
        now = int(time.time())
        said: dict[str, Any] = {
            "iss": self.machine_url if machine else self.url,
            "sub": who.subject,
            "aud": audience,
            "azp": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int((lifetime or self.lifetime).total_seconds()),
            "jti": secrets.token_hex(8),
            "groups": list(who.groups),
        }
        if who.email:
            said |= {"email": who.email, "email_verified": True, "name": who.name.title(), "auth_time": now}
        said |= claims
        keys = self._machine_keys if machine else self._people_keys
        return keys.sign({name: value for name, value in said.items() if value is not None})

    def rotate_keys(self, *, forget: bool = False) -> None:
        """New signing keys for both issuers; with ``forget`` tokens signed before can no longer be verified."""
        self._people_keys.rotate(forget=forget)
        self._machine_keys.rotate(forget=forget)

    def approve(self, user_code: str, user: str) -> None:
        """What a person does on the device page: lets the device with this code sign in as ``user``.

        Raises:
            KeyError: if there is no such code or user.
        """
        device = self._devices[self._user_codes[user_code.upper()]]
        device.user = self.users[user].name

    def deny(self, user_code: str) -> None:
        """What a person does on the device page who did not ask for this.

        Raises:
            KeyError: if there is no such code.
        """
        self._devices[self._user_codes[user_code.upper()]].refused = True

    def sign_out(self, user: str) -> None:
        """What an administrator does: nothing that this user has can be refreshed any more."""
        with self._lock:
            self._refresh = {token: known for token, known in self._refresh.items() if known.user != user}

    def verify(self, token: str, audience: str | None = None) -> dict[str, Any]:
        """The claims of a token that one of the two issuers signed.

        Raises:
            jwt.InvalidTokenError: if it did not, or the token has expired, or is for somebody else.
        """
        kid = str(jwt.get_unverified_header(token).get("kid"))
        key = self._people_keys.public(kid)
        issuer = self.url
        if key is None:
            key, issuer = self._machine_keys.public(kid), self.machine_url
        if key is None:
            raise jwt.InvalidTokenError("The token's key is not one of this issuer's.")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            issuer=issuer,
            audience=audience,
            options={"verify_aud": audience is not None},
        )
        return claims

    # What the network sees.

    def handle(self, request: Request) -> Response:
        if self.outage:
            return Response.json({"error": "temporarily_unavailable"}, 503)
        machines = request.path.startswith("/machines/")
        path = request.path.removeprefix("/machines") if machines else request.path
        try:
            match request.method, path:
                case "GET", "/.well-known/openid-configuration":
                    return Response.json(self._discovery(machines=machines))
                case "GET", "/jwks":
                    keys = self._machine_keys if machines else self._people_keys
                    return Response.json(keys.jwks(), headers={"cache-control": "public, max-age=300"})
                case "POST", "/token":
                    answer = self._machine_token(request) if machines else self._token(request.form())
                    return Response.json(answer, headers={"cache-control": "no-store"})
                case _ if not machines:
                    return self._for_people(request)
        except OAuthError as error:
            return Response.json({"error": error.error, "error_description": error.description}, error.status)
        return Response.json({"error": "not_found"}, 404)

    def _for_people(self, request: Request) -> Response:
        match request.method, request.path:
            case (("GET" | "POST"), "/authorize"):
                return self._authorize(request)
            case "POST", "/revoke":
                self._revoke(request.form())
                return Response()
            case "POST", "/device_authorization" if self.device_flow:
                return Response.json(self._device_authorization(request.form()))
            case (("GET" | "POST"), "/device") if self.device_flow:
                return self._device_page(request)
            case "GET", "/userinfo":
                return self._userinfo(request)
        return Response.json({"error": "not_found"}, 404)

    def _discovery(self, *, machines: bool) -> dict[str, Any]:
        base = self.machine_url if machines else self.url
        common = {
            "issuer": base,
            "jwks_uri": f"{base}/jwks",
            "token_endpoint": f"{base}/token",
            "id_token_signing_alg_values_supported": [_ALGORITHM],
            "subject_types_supported": ["public"],
            "response_types_supported": ["code"],
        }
        if machines:
            return common | {
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            }
        device = {"device_authorization_endpoint": f"{base}/device_authorization"} if self.device_flow else {}
        return common | {
            **device,
            "authorization_endpoint": f"{base}/authorize",
            "revocation_endpoint": f"{base}/revoke",
            "userinfo_endpoint": f"{base}/userinfo",
            "authorization_response_iss_parameter_supported": True,
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                *([_DEVICE_GRANT] if self.device_flow else []),
            ],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["openid", "email", "profile", "groups", "offline_access"],
            "claims_supported": ["sub", "email", "name", "groups"],
        }

    def _authorize(self, request: Request) -> Response:
        asked = dict(request.query) | (request.form() if request.method == "POST" else {})
        redirect = asked.get("redirect_uri", "")
        if asked.get("client_id") != CLIENT_ID or not redirect.startswith(("http://127.0.0.1", "http://localhost")):
            raise OAuthError("invalid_request", "Unknown client, or a redirect_uri that is not on loopback.")
        if asked.get("response_type") != "code":
            return _redirect(self.url, redirect, asked, error="unsupported_response_type")
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return _redirect(
                self.url, redirect, asked, error="invalid_request", error_description="PKCE with S256 is required"
            )
        # `login_hint` with `prompt=none` is how a script signs in without a page.
        user = asked.get("user", asked.get("login_hint") if asked.get("prompt") == "none" else None)
        if user is None:
            return Response.html(_page("Sign in", self._choices("Who are you?", asked)))
        if user not in self.users:
            return _redirect(self.url, redirect, asked, error="access_denied")
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = _Code(
                client=asked["client_id"],
                redirect_uri=redirect,
                challenge=asked["code_challenge"],
                user=user,
                nonce=asked.get("nonce", ""),
                expires_at=time.time() + _CODE_LIFETIME,
            )
        return _redirect(self.url, redirect, asked, code=code)

    def _device_authorization(self, form: Mapping[str, str]) -> dict[str, Any]:
        if form.get("client_id") != CLIENT_ID:
            raise OAuthError("invalid_client", "Unknown client.", 401)
        device_code = secrets.token_urlsafe(32)
        # RFC 8628 section 6.1: no vowels, so that no words appear.
        letters = [secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(8)]
        user_code = f"{''.join(letters[:4])}-{''.join(letters[4:])}"
        with self._lock:
            self._devices[device_code] = _Device(form["client_id"], time.time() + self.device_lifetime.total_seconds())
            self._user_codes[user_code] = device_code
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": f"{self.url}/device",
            "verification_uri_complete": f"{self.url}/device?user_code={user_code}",
            "expires_in": int(self.device_lifetime.total_seconds()),
            "interval": _POLL_INTERVAL,
        }

    def _device_page(self, request: Request) -> Response:
        asked = dict(request.query) | (request.form() if request.method == "POST" else {})
        code = asked.get("user_code", "").upper()
        device = self._devices.get(self._user_codes.get(code, ""))
        if device is None or device.expires_at < time.time():
            form = (
                '<form method="get"><p><label for="user_code">The code that your device shows</label> '
                '<input id="user_code" name="user_code" placeholder="XXXX-XXXX" autocomplete="off" required> '
                "<button>Next</button></p></form>"
            )
            wrong = "<p>There is no such code, or it has expired.</p>" if code else ""
            return Response.html(_page("Connect a device", wrong + form))
        if request.method == "POST":
            user = asked.get("user")
            device.user = user if user in self.users else None
            device.refused = device.user is None
            said = "Signed in" if device.user else "Denied"
            return Response.html(_page(said, "<p>You can close this page and go back to your device.</p>"))
        question = f"A device that shows {code} wants to sign in. Who are you?"
        return Response.html(_page("Connect a device", self._choices(question, {"user_code": code})))

    def _token(self, form: Mapping[str, str]) -> dict[str, Any]:
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem_code(form)
            case "refresh_token":
                return self._refreshed(form)
            case grant if grant == _DEVICE_GRANT:
                return self._redeem_device(form)
        raise OAuthError("unsupported_grant_type", "Use a code, a device code or a refresh token.")

    def _refreshed(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Each refresh token works once (RFC 9700, 4.14.2): whoever uses it again is a thief, or was robbed."""
        with self._lock:
            known = self._refresh.get(form.get("refresh_token", ""))
            if known is None or known.client != form.get("client_id"):
                raise OAuthError("invalid_grant", "The refresh token is not known.")
            if known.used:
                self._forget(known.family)
                raise OAuthError("invalid_grant", "The refresh token was used before.")
            known.used = True
        return self._tokens(known.user, known.client, known)

    def _revoke(self, form: Mapping[str, str]) -> None:
        """RFC 7009: unknown tokens are no error."""
        with self._lock:
            known = self._refresh.get(form.get("token", ""))
            if known is not None and known.client == form.get("client_id"):
                self._forget(known.family)

    def _forget(self, family: str) -> None:
        self._refresh = {token: known for token, known in self._refresh.items() if known.family != family}

    def _redeem_code(self, form: Mapping[str, str]) -> dict[str, Any]:
        with self._lock:
            code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.expires_at < time.time():
            raise OAuthError("invalid_grant", "The code is not known, was used, or has expired.")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
            raise OAuthError("invalid_grant", "The code verifier does not fit the challenge.")
        if form.get("redirect_uri") != code.redirect_uri or form.get("client_id") != code.client:
            raise OAuthError("invalid_grant", "The code was given to another client or redirect_uri.")
        return self._tokens(code.user, code.client, nonce=code.nonce or None)

    def _redeem_device(self, form: Mapping[str, str]) -> dict[str, Any]:
        device = self._devices.get(form.get("device_code", ""))
        if device is None or device.client != form.get("client_id"):
            raise OAuthError("invalid_grant", "The device code is not known.")
        if device.refused:
            raise OAuthError("access_denied", "The sign-in was refused.")
        if device.expires_at < time.time():
            raise OAuthError("expired_token", "The device code has expired.")
        now = time.time()
        too_fast, device.asked_at = now - device.asked_at < device.interval * 0.9, now
        if device.user is None and too_fast:
            device.interval += _SLOWER
            raise OAuthError("slow_down", "Ask less often.")
        if device.user is None:
            raise OAuthError("authorization_pending", "Nobody has approved this device yet.")
        with self._lock:
            del self._devices[form["device_code"]]
        return self._tokens(device.user, device.client)

    def _tokens(self, user: str, client: str, before: _Refresh | None = None, **claims: Any) -> dict[str, Any]:
        refresh = secrets.token_urlsafe(32)
        # Whatever is renewed, the person proved who they are when they signed in (OpenID Connect Core section 12.2).
        signed_in_at = before.signed_in_at if before else int(time.time())
        family = before.family if before else secrets.token_hex(8)
        with self._lock:
            self._refresh[refresh] = _Refresh(user, client, family, signed_in_at)
        return {
            "access_token": self.token(user, audience=f"{self.url}/userinfo"),
            "id_token": self.token(user, audience=client, auth_time=signed_in_at, **claims),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime.total_seconds()),
            "scope": "openid email profile groups offline_access",
        }

    def _machine_token(self, request: Request) -> dict[str, Any]:
        form = request.form()
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            client, _, secret = base64.b64decode(value).decode().partition(":")
        machine = self.machines.get(client)
        if machine is None or not secrets.compare_digest(machine.secret or "", secret):
            raise OAuthError("invalid_client", "Unknown machine, or a wrong secret.", 401)
        if form.get("grant_type") != "client_credentials":
            raise OAuthError("unsupported_grant_type", "Machines use client credentials.")
        token = self.token(machine.name, audience=form.get("audience") or CLIENT_ID)
        return {"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": 3600}

    def _userinfo(self, request: Request) -> Response:
        try:
            claims = self.verify(request.bearer() or "", audience=f"{self.url}/userinfo")
        except jwt.InvalidTokenError as error:
            raise OAuthError("invalid_token", "The access token is not valid here.", 401) from error
        return Response.json({name: claims[name] for name in ("sub", "email", "name", "groups") if name in claims})

    def _choices(self, question: str, hidden: Mapping[str, str]) -> str:
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in hidden.items()
        )
        buttons = "".join(
            f'<p><button name="user" value="{html.escape(name)}" aria-label="Sign in as {html.escape(name)}">'
            f"{html.escape(name)}</button> {html.escape(user.email or '')} ({', '.join(user.groups)})</p>"
            for name, user in self.users.items()
        )
        deny = '<p><button name="user" value="">Deny</button></p>'
        return f'<form method="post"><p>{html.escape(question)}</p>{fields}{buttons}{deny}</form>'


def _redirect(issuer: str, target: str, asked: Mapping[str, str], **answer: str) -> Response:
    if "state" in asked:
        answer["state"] = asked["state"]
    answer["iss"] = issuer
    joint = "&" if "?" in target else "?"
    return Response(302, headers={"location": f"{target}{joint}{urlencode(answer)}"})


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f"<body><h1>{title}</h1>{body}<p><small>A local test issuer.</small></p></body></html>"
    )
