"""Google's token endpoints, on loopback: whoever has a token here got it the way Google gives tokens.

``oauth2.googleapis.com`` (the service account's JWT-bearer grant, a user's refresh token), ``sts.googleapis.com``
(federation of the local issuer's tokens) and ``iamcredentials.googleapis.com`` (impersonation). Each checks what
Google checks, so that google-auth's own code path is what is tested.
"""

import json
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hoop_mitm.devkit.http import Request, Response
from hoop_mitm.devkit.issuer import CLIENT_ID, Issuer

HOSTS = ("oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com")

#: The workforce pool provider that trusts the local issuer, as `Federation.audience` names it.
WORKFORCE_AUDIENCE = "//iam.googleapis.com/locations/global/workforcePools/acme/providers/local"
#: The workload identity pool provider that trusts it too (machines).
WORKLOAD_AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/acme/providers/local"

_SCOPES = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in (
        "bigquery",
        "bigquery.readonly",
        "bigquery.insertdata",
        "cloud-platform",
        "cloud-platform.read-only",
        "devstorage.full_control",
        "devstorage.read_only",
        "devstorage.read_write",
        "iam",
        "userinfo.email",
    )
) | {"openid", "email"}
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, not a secret.
_SUBJECT_TOKEN_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
_HOUR = 3600
_REMEMBERED_REQUESTS = 20_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What an access token stands for."""

    subject: str
    scopes: frozenset[str]
    expires_at: float


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    email: str
    private_key_id: str
    private_key: rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def create(cls, name: str, project: str) -> "ServiceAccount":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(f"{name}@{project}.iam.gserviceaccount.com", secrets.token_hex(20), key)

    def write_key_file(self, path: Path, project: str) -> None:
        """The JSON key that Google's console would download."""
        pem = self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        document = {
            "type": "service_account",
            "project_id": project,
            "private_key_id": self.private_key_id,
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": str(secrets.randbelow(10**21)),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "universe_domain": "googleapis.com",
        }
        _write_secret(path, json.dumps(document, indent=2))


class _Refused(Exception):
    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status, self.body = status, body
        super().__init__(str(body))


class GoogleTokens:
    """The three endpoints, and the memory of what they issued.

    Attributes:
        gateway_account: the service account whose key ``write_service_account_key`` writes.
        analytics_account: one without a key, that the gateway's account, and federated people, may impersonate.
        outage: while true, every answer is a 503.
        token_lifetime: seconds that new access tokens live.
    """

    def __init__(self, issuer: Issuer, project: str) -> None:
        self._issuer = issuer
        self._project = project
        self._lock = threading.Lock()
        self._grants: dict[str, Grant] = {}
        self._requests: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.gateway_account = ServiceAccount.create("hoop-gateway", project)
        self.analytics_account = ServiceAccount.create("analytics", project)
        self.outage = False
        self.token_lifetime = _HOUR
        self._user_client = (f"{secrets.token_hex(8)}.apps.googleusercontent.com", secrets.token_urlsafe(16))
        self._user_refresh_token = f"1//{secrets.token_urlsafe(48)}"

    def issue(self, subject: str, scopes: frozenset[str] = _SCOPES, lifetime: float | None = None) -> str:
        """A new access token for a subject (``lifetime`` in seconds)."""
        token = f"ya29.{secrets.token_urlsafe(120)}"
        seconds = self.token_lifetime if lifetime is None else lifetime
        with self._lock:
            self._grants[token] = Grant(subject, scopes, time.time() + seconds)
        return token

    def grant(self, token: str | None) -> Grant | None:
        """What a token stands for; ``None`` if it was not issued here or has expired."""
        with self._lock:
            grant = self._grants.get(token or "")
        return grant if grant is not None and grant.expires_at > time.time() else None

    def revoke_all(self) -> None:
        """Every token issued so far stops working."""
        with self._lock:
            self._grants.clear()

    def issued(self) -> list[str]:
        """Every access token ever issued: what must be found nowhere in a recording."""
        with self._lock:
            return list(self._grants)

    def requests(self) -> list[tuple[str, str]]:
        """Host and path of the requests so far, oldest first."""
        return list(self._requests)

    def write_service_account_key(self, path: Path) -> None:
        self.gateway_account.write_key_file(path, self._project)

    def write_authorized_user(self, path: Path) -> None:
        """What ``gcloud auth application-default login`` leaves behind."""
        client_id, client_secret = self._user_client
        document = {
            "type": "authorized_user",
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": self._user_refresh_token,
            "universe_domain": "googleapis.com",
        }
        _write_secret(path, json.dumps(document, indent=2))

    def handle(self, request: Request) -> Response:
        self._requests.append((request.host, request.path))
        if self.outage:
            return Response.json({"error": {"code": 503, "message": "The service is currently unavailable."}}, 503)
        try:
            match request.method, request.host, request.path:
                case "POST", "oauth2.googleapis.com", "/token":
                    return Response.json(self._oauth2_token(request.form()))
                case "POST", "sts.googleapis.com", "/v1/token":
                    return Response.json(self._sts_token(request))
                case "POST", "iamcredentials.googleapis.com", path if path.endswith(":generateAccessToken"):
                    account = path.removeprefix("/v1/projects/-/serviceAccounts/").removesuffix(":generateAccessToken")
                    return Response.json(self._generate_access_token(request, account))
        except _Refused as refused:
            return Response.json(refused.body, refused.status)
        return Response.json(
            {"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}}, 404
        )

    def _oauth2_token(self, form: dict[str, str]) -> dict[str, Any]:
        match form.get("grant_type"):
            case grant if grant == _JWT_GRANT:
                subject, scopes = self._check_assertion(form.get("assertion", ""))
            case "refresh_token":
                client = (form.get("client_id"), form.get("client_secret"))
                if client != self._user_client:
                    raise _oauth("invalid_client", "The OAuth client was not found.", 401)
                if form.get("refresh_token") != self._user_refresh_token:
                    raise _oauth("invalid_grant", "Token has been expired or revoked.")
                subject, scopes = f"owner@{self._project}.example", _SCOPES
            case _:
                raise _oauth("unsupported_grant_type", "Invalid grant_type.")
        return {
            "access_token": self.issue(subject, scopes),
            "expires_in": self.token_lifetime - 1,
            "token_type": "Bearer",
            "scope": " ".join(sorted(scopes)),
        }

    def _check_assertion(self, assertion: str) -> tuple[str, frozenset[str]]:
        account = self.gateway_account
        try:
            kid = jwt.get_unverified_header(assertion).get("kid")
            claims = jwt.decode(
                assertion,
                account.private_key.public_key(),
                algorithms=["RS256"],
                audience="https://oauth2.googleapis.com/token",
                leeway=60,
                options={"require": ["iss", "aud", "exp", "iat", "scope"]},
            )
        except jwt.InvalidSignatureError as error:
            raise _oauth("invalid_grant", "Invalid JWT Signature.") from error
        except jwt.ExpiredSignatureError as error:
            raise _oauth(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            ) from error
        except jwt.InvalidTokenError as error:
            raise _oauth("invalid_grant", f"Invalid JWT: {error}") from error
        if claims["iss"] != account.email:
            raise _oauth("invalid_grant", "Invalid grant: account not found")
        if kid not in (None, account.private_key_id):
            raise _oauth("invalid_grant", "Invalid JWT Signature.")
        if claims["exp"] - claims["iat"] > _HOUR:
            raise _oauth(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            )
        return account.email, _scopes(str(claims["scope"]))

    def _sts_token(self, request: Request) -> dict[str, Any]:
        fields = request.form()
        if request.headers.get("content-type", "").startswith("application/json"):
            fields = {_snake(name): value for name, value in json.loads(request.content()).items()}
        if fields.get("grant_type") != _EXCHANGE_GRANT:
            raise _oauth("unsupported_grant_type", "Unsupported grant type.")
        if fields.get("requested_token_type") != _ACCESS_TOKEN_TYPE:
            raise _oauth("invalid_request", "Invalid requested token type.")
        if fields.get("subject_token_type") not in _SUBJECT_TOKEN_TYPES:
            raise _oauth("invalid_request", "Invalid subject token type.")
        audience = fields.get("audience", "")
        if audience not in (WORKFORCE_AUDIENCE, WORKLOAD_AUDIENCE):
            raise _oauth("invalid_target", 'The target service indicated by the "audience" parameters is invalid.')
        try:
            claims = self._issuer.verify(fields.get("subject_token", ""), audience=CLIENT_ID)
        except jwt.ExpiredSignatureError as error:
            raise _oauth("invalid_grant", "ID Token issued has expired.") from error
        except jwt.InvalidTokenError as error:
            raise _oauth("invalid_grant", "The audience, signature or issuer of the ID Token is not valid.") from error
        pool = audience.partition("/providers/")[0].removeprefix("//iam.googleapis.com/")
        subject = f"principal://iam.googleapis.com/{pool}/subject/{claims['sub']}"
        lifetime = min(self.token_lifetime, int(claims["exp"] - time.time()))
        return {
            "access_token": self.issue(subject, _scopes(fields.get("scope", "")), lifetime),
            "issued_token_type": _ACCESS_TOKEN_TYPE,
            "token_type": "Bearer",
            "expires_in": lifetime,
        }

    def _generate_access_token(self, request: Request, account: str) -> dict[str, Any]:
        caller = self.grant(request.bearer())
        if caller is None:
            raise _Refused(401, _status(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."))
        may = caller.subject == self.gateway_account.email or caller.subject.startswith(
            ("principal://", f"owner@{self._project}.")
        )
        wide_enough = caller.scopes & {
            "https://www.googleapis.com/auth/cloud-platform",
            "https://www.googleapis.com/auth/iam",
        }
        if account != self.analytics_account.email or not may or not wide_enough:
            raise _Refused(
                403,
                _status(
                    403,
                    "PERMISSION_DENIED",
                    "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
                ),
            )
        body = json.loads(request.content())
        seconds = int(str(body.get("lifetime", f"{_HOUR}s")).removesuffix("s"))
        if seconds > _HOUR:
            raise _Refused(400, _status(400, "INVALID_ARGUMENT", "The lifetime must be at most 3600 seconds."))
        seconds = min(seconds, self.token_lifetime)
        token = self.issue(account, _scopes(" ".join(body.get("scope", []))), seconds)
        expires = datetime.fromtimestamp(time.time() + seconds, UTC)
        return {"accessToken": token, "expireTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _scopes(text: str) -> frozenset[str]:
    scopes = frozenset(text.split())
    if not scopes or not scopes <= _SCOPES:
        raise _oauth("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return scopes


def _oauth(error: str, description: str, status: int = 400) -> _Refused:
    return _Refused(status, {"error": error, "error_description": description})


def _status(code: int, status: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
