"""The shape of ``hoop.yaml``.

Every setting is here once, with its meaning, its default and what would be wrong. Paths are relative to the
file that names them. Durations are written ``90s``, ``15m``, ``8h``, ``30d``.
"""

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from hoop_mitm.config.basics import Duration, Model, Text
from hoop_mitm.config.cost import Cost
from hoop_mitm.config.policy import PolicyWords, Rule


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as written, can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _issuer_url(value: str) -> str:
    try:
        url = urlsplit(value)
        plain = url.port != 0 and url.username is None and not url.query and "?" not in value and "#" not in value
    except ValueError:
        plain = False
    if not plain or not url.hostname or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("write the issuer as https://host[:port][/path], exactly as `iss` has it in its tokens")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname)):
        raise ValueError("an issuer must be https://; plain http is accepted for 127.0.0.1, ::1 and localhost only")
    return value


def _host_and_port(value: str) -> str:
    split_host_port(value)
    return value


def split_host_port(value: str) -> tuple[str, int]:
    """``127.0.0.1:8080`` or ``[::1]:8080`` as host and port. Raises ``ValueError`` in words for the user."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", value)
    if match is None or int(match[3]) > 65535:  # noqa: PLR2004 - the highest port there is
        raise ValueError("write host:port, such as 127.0.0.1:8080 or [::1]:8080")
    return match[1] or match[2], int(match[3])


def _https_url(value: str) -> str:
    try:
        url = urlsplit(value)
        plain = url.port != 0 and url.username is None and "#" not in value
    except ValueError:
        plain = False
    if not plain or url.scheme != "https" or not url.hostname or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("write https://host[:port][/path][?query]; a secret belongs into `headers_file`")
    return value


def _proxy_url(value: str) -> str:
    try:
        url = urlsplit(value)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and url.path in ("", "/")
    except ValueError:
        good = False
    if not good:
        raise ValueError("write the proxy as http://[user:password@]host:port")
    return value


def _as_texts(value: object) -> object:
    # One value or several; YAML reads `email_verified: true` and `installation: 42` as a bool and a number, but
    # claims are compared as text.
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(str(item).lower() if isinstance(item, bool | int) else item for item in values)


def _host_name(value: str) -> str:
    name = value.lower().rstrip(".")
    if (
        not re.fullmatch(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", name)
        or name.rpartition(".")[2].isdecimal()
    ):
        raise ValueError("write a host name such as bigquery.acme.internal, without https:// and without a port")
    return name


IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
HostPort = Annotated[str, AfterValidator(_host_and_port)]
HostName = Annotated[str, AfterValidator(_host_name)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
AcceptedValues = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_as_texts)]


class Claims(Model):
    """Which claims of a token say what. A dotted name reaches into objects (``realm_access.roles``)."""

    email: Text = Field(default="email", description="claim with the e-mail address")
    groups: Text = Field(default="groups", description="claim with the list of groups")


#: Issuers that mint tokens for anyone on earth, with the claims that tie a token to one tenant. Without one of
#: those under `require`, everyone is in. (`aud` does not: anyone can have Google or GitHub write any audience.)
SHARED_ISSUERS: dict[str, frozenset[str]] = {
    "accounts.google.com": frozenset({"hd", "email", "sub"}),
    "token.actions.githubusercontent.com": frozenset(
        {"repository_owner", "repository_owner_id", "repository", "repository_id", "enterprise", "enterprise_id", "sub"}
    ),
    "gitlab.com": frozenset({"namespace_id", "namespace_path", "project_id", "project_path", "sub"}),
    "login.microsoftonline.com/common": frozenset({"tid"}),
    "login.microsoftonline.com/organizations": frozenset({"tid"}),
    "login.microsoftonline.com/consumers": frozenset({"sub"}),
    # The tenant of all personal Microsoft accounts.
    "login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad": frozenset({"sub"}),
    "sts.windows.net/common": frozenset({"tid"}),
}


def binding_claims(issuer: str) -> frozenset[str]:
    """The claims of which one must be required from ``issuer``; empty for an issuer that has one tenant."""
    url = urlsplit(issuer)
    host = (url.hostname or "").rstrip(".")
    first = next((part for part in url.path.lower().split("/") if part), "")
    return SHARED_ISSUERS.get(host) or SHARED_ISSUERS.get(f"{host}/{first}") or frozenset()


class Issuer(Model):
    """An OIDC issuer whose tokens are accepted."""

    issuer: IssuerUrl = Field(
        description="the `iss` of its tokens; `/.well-known/openid-configuration` is read below it"
    )
    audiences: tuple[Text, ...] = Field(min_length=1, description="accepted `aud` values, usually the client id")
    kind: Literal["user", "machine"] = Field(default="user", description="whether it signs in people or workloads")
    authorized_parties: tuple[Text, ...] = Field(default=(), description="accepted `azp` values besides the audiences")
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = Field(default=("RS256", "ES256"), min_length=1, description="accepted signature algorithms")
    claims: Claims = Field(default=Claims(), description="the names of the claims that are read")
    require: dict[Text, AcceptedValues] = Field(
        default_factory=dict, description="claims a token must carry, with the accepted values (`hd: acme.com`)"
    )
    groups: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="groups by e-mail, for issuers without a groups claim"
    )
    ca: Path | None = Field(default=None, description="PEM bundle to verify this issuer's TLS with")
    leeway: Duration = Field(default=timedelta(seconds=60), description="by how much clocks may differ; 5m at most")
    max_lifetime: Duration = Field(default=timedelta(days=1), description="longest `exp - iat` accepted")
    max_outage: Duration = Field(
        default=timedelta(hours=12), description="how long known keys are trusted while the issuer cannot be reached"
    )

    @field_validator("leeway")
    @classmethod
    def _leeway_is_small(cls, value: timedelta) -> timedelta:
        if value > timedelta(minutes=5):
            raise ValueError("a leeway is for clocks that differ by seconds; 5m is the most")
        return value

    @model_validator(mode="after")
    def _bound_to_a_tenant(self) -> "Issuer":
        binding = binding_claims(self.issuer)
        if binding and not binding & self.require.keys():
            raise ValueError(
                f"{self.issuer} mints tokens for anyone: say under `require` which are yours, "
                f"by one of the claims {', '.join(sorted(binding))} (for example `{min(binding)}: …`)"
            )
        return self


class SessionTokens(Model):
    """The gateway's own tokens, which clients trade their OIDC token for."""

    lifetime: Duration = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        le=timedelta(days=1),
        description="how long a session token lives; clients renew it by themselves",
    )
    bind_address: Literal["off", "network", "address"] = Field(
        default="off",
        description="where a session token may be used: anywhere, from the network that it was given to (/24, for IPv6 "
        "/64), or from that one address",
    )
    name: Text = Field(
        default="hoop-mitm", description="`iss` and `aud` of the tokens; instances that share keys share it"
    )


class Identity(Model):
    issuers: tuple[Issuer, ...] = Field(min_length=1, description="who signs people and workloads in")
    session_tokens: SessionTokens = Field(default=SessionTokens(), description="the gateway's own tokens")
    session_idle: Duration = Field(
        default=timedelta(minutes=30), gt=timedelta(0), description="a gap without requests that ends a session"
    )

    @field_validator("issuers")
    @classmethod
    def _issuers_can_be_told_apart(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        for index, issuer in enumerate(issuers):
            for other in issuers[:index]:
                if issuer.issuer.rstrip("/") != other.issuer.rstrip("/"):
                    continue
                if issuer.issuer != other.issuer or issuer.ca != other.ca:
                    raise ValueError(f"{issuer.issuer} is here twice, with another spelling or another `ca`")
                if shared := set(issuer.audiences) & set(other.audiences):
                    raise ValueError(
                        f"{issuer.issuer} is here twice with the audience {min(shared)}: "
                        "entries of one issuer are told apart by their audiences"
                    )
        return issuers


class ServiceAccountKey(Model):
    type: Literal["service_account"]
    key_file: Path = Field(description="JSON key of a service account, as Google's console gives it")


class ApplicationDefault(Model):
    type: Literal["adc"]


class Impersonation(Model):
    """A service account that the gateway's own identity may impersonate."""

    type: Literal["impersonation"]
    service_account: str = Field(description="e-mail address of the account that is impersonated")
    source: Annotated[ServiceAccountKey | ApplicationDefault, Field(discriminator="type")] = Field(
        default=ApplicationDefault(type="adc"), description="the gateway's own identity: `service_account` or `adc`"
    )
    groups: dict[str, str] = Field(
        default_factory=dict,
        description="another service account for members of a group; the first group listed here wins",
    )
    lifetime: Duration = Field(default=timedelta(hours=1), description="of Google's tokens")


class Federation(Model):
    """The engineer's own OIDC token is traded at Google's STS; the gateway holds no key."""

    type: Literal["federation"]
    audience: str = Field(description="//iam.googleapis.com/… of the workforce or workload identity pool provider")
    user_project: str | None = Field(default=None, description="billing project, for workforce pools")
    service_account: str | None = Field(default=None, description="impersonated with the federated token, if set")
    groups: dict[str, str] = Field(default_factory=dict, description="service account by group, as in impersonation")


type CredentialConfig = Annotated[
    ServiceAccountKey | ApplicationDefault | Impersonation | Federation, Field(discriminator="type")
]


class Keep(Model):
    """How long what is recorded is kept, from the end of an exchange; `hoop-mitm retention apply` deletes what is older.
    What is not named is kept for ever."""

    bodies: Duration | None = Field(
        default=None, description="what went over the wire: requests and answers, with rows"
    )
    statements: Duration | None = Field(
        default=None, description="SQL, and what may quote it: errors, labels, schemas of results"
    )
    metadata: Duration | None = Field(default=None, description="all the rest: who, when, which tables, how much")

    @model_validator(mode="after")
    def _what_holds_more_goes_first(self) -> "Keep":
        for inner, outer, why in (
            ("bodies", "statements", "a body holds the statement"),
            ("statements", "metadata", "a statement is part of its record"),
        ):
            limit, value = getattr(self, outer), getattr(self, inner)
            if limit is None or (value is not None and value <= limit):
                continue
            kept = "are kept for ever where nothing is named" if value is None else "are kept longer"
            raise ValueError(f"`{inner}` {kept}, and {why}: give them at most what `{outer}` has")
        return self


class Reconcile(Model):
    """What `hoop-mitm reconcile` needs to know beside the recording, to compare it with BigQuery's own list of jobs."""

    locations: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], ...] = Field(
        default=(),
        description="BigQuery locations (`EU`, `us-central1`) to ask besides those where jobs or datasets are known",
    )
    direct_accounts: tuple[Text, ...] = Field(
        default=(),
        description="accounts, as `user_email` in `INFORMATION_SCHEMA.JOBS`, whose jobs need not pass the gateway, such "
        "as a scheduler's: counted, not named one by one; the gateway's own is never taken for one",
    )
    credential: (
        Annotated[ServiceAccountKey | ApplicationDefault | Impersonation, Field(discriminator="type")] | None
    ) = Field(
        default=None,
        description="how it reaches Google, where the connection's own credential should not list everybody's jobs, or "
        "is `federation` and so nobody's",
    )


class Connection(Model):
    """A named BigQuery target."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="what it is called in recordings and tokens")
    projects: tuple[Annotated[str, Field(pattern=r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]*$")], ...] = Field(
        min_length=1, description="ids of the Google Cloud projects that requests may name"
    )
    credential: CredentialConfig = Field(description="how the gateway reaches Google for it")
    recording: Literal["full", "statements", "metadata", "off"] = Field(
        default="full",
        description="how much is recorded of what goes through it; with `off` still what is refused, and that it is off",
    )
    groups: tuple[Text, ...] = Field(default=(), description="groups that may use it; empty: every known principal")
    reconcile: Reconcile = Field(default=Reconcile(), description="for comparing with BigQuery's own list of jobs")
    keep: Keep | None = Field(
        default=None, description="how long what goes through it is kept, instead of `recording.keep`"
    )


class Upstream(Model):
    """How the gateway reaches Google."""

    proxy: ProxyUrl | None = Field(
        default=None,
        repr=False,  # It may hold a password.
        description="the company's own proxy, http://[user:password@]host:port",
    )
    no_proxy: tuple[str, ...] = Field(
        default=(), description="hosts that the gateway itself reaches without the proxy, such as an issuer inside"
    )
    ca: Path | None = Field(
        default=None, description="PEM bundle to verify upstream TLS with instead of the built-in one"
    )
    hosts: dict[str, HostPort] = Field(
        default_factory=dict,
        description="host name → host:port to connect to instead (a local BigQuery, a private endpoint)",
    )


class Gateway(Model):
    listen: HostPort = Field(default="127.0.0.1:8080", description="host:port")
    certs: Path = Field(default=Path("certs"), description="directory of the CA")
    ca_lifetime: Duration = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
        le=timedelta(days=397),
        description="how long the CA is good; it is renewed by itself, and the next one published when a sixth is left",
    )
    state: Path = Field(default=Path(".hoop"), description="directory of signing keys, 0700")
    others: Literal["tunnel", "refuse"] = Field(
        default="tunnel",
        description="what happens to hosts that are not Google's; beyond loopback only `refuse` is allowed",
    )
    tunnel_hosts: tuple[Text, ...] = Field(
        default=(),
        description="hosts (`*.example.com`) tunnelled untouched although others are refused; one that is named in full "
        "may also lead to a private address",
    )
    endpoint: HostPort | None = Field(
        default=None,
        description="host:port where the gateway answers as BigQuery itself, for clients that cannot use a proxy; plain "
        "HTTP on loopback, beyond it TLS",
    )
    endpoint_names: tuple[HostName, ...] = Field(
        default=(),
        description="host names under which clients reach the endpoint; beyond loopback the CA vouches for them, unless "
        "there is an `endpoint_certificate`",
    )
    endpoint_certificate: Path | None = Field(
        default=None,
        description="PEM file with the endpoint's private key, certificate and chain; its names are `endpoint_names` too",
    )
    private_hosts: tuple[HostName, ...] = Field(
        default=(),
        description="names of Private Service Connect (`bigquery-NAME.p.googleapis.com`, `bigquerystorage-NAME…`) that are "
        "served besides Google's public ones; the CA vouches for them",
    )
    upstream: Upstream = Field(default=Upstream(), description="how the gateway reaches Google")
    max_request_body: int = Field(default=20 * 2**20, gt=0, description="bytes; a JSON request above it is refused")

    @property
    def address(self) -> tuple[str, int]:
        """``listen`` as host and port."""
        return split_host_port(self.listen)

    @field_validator("private_hosts")
    @classmethod
    def _are_bigquerys(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        from hoop_mitm.bigquery.hosts import PRIVATE

        for host in hosts:
            if not PRIVATE.fullmatch(host):
                raise ValueError(
                    f"{host} is no private name of BigQuery: they are written bigquery-NAME.p.googleapis.com and "
                    "bigquerystorage-NAME.p.googleapis.com"
                )
        return hosts

    @model_validator(mode="after")
    def _no_open_proxy(self) -> "Gateway":
        if self.others == "tunnel" and not is_loopback(self.address[0]):
            raise ValueError(
                f"listening on {self.listen} with `others: tunnel` would be an open proxy: "
                "set `others: refuse` (and `tunnel_hosts`), or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _endpoint_is_safe(self) -> "Gateway":
        if self.endpoint is None:
            if self.endpoint_names or self.endpoint_certificate:
                raise ValueError("endpoint_names and endpoint_certificate say nothing without `endpoint: host:port`")
            return self
        if self.endpoint == self.listen:
            raise ValueError(f"`listen` and `endpoint` are both {self.endpoint}: give the endpoint a port of its own")
        host = split_host_port(self.endpoint)[0]
        if not is_loopback(host) and not (self.endpoint_names or self.endpoint_certificate):
            raise ValueError(
                f"an endpoint on {host} carries tokens over the network, so it speaks TLS only: name it under "
                "`endpoint_names`, or give its `endpoint_certificate`"
            )
        return self


class FileSink(Model):
    """Each checkpoint becomes a line of a file: best on a disk that the gateway's machine cannot rewrite."""

    type: Literal["file"]
    path: Path = Field(description="lines are appended; the file is made when there is none")


class CommandSink(Model):
    """Each checkpoint is given to a command, as one line on its standard input. Exit status 0 means that it is kept."""

    type: Literal["command"]
    command: tuple[Text, ...] = Field(min_length=1, description="the program and its arguments, no shell")


class HttpsSink(Model):
    """Each checkpoint is posted as JSON. Any 2xx answer means that it is kept."""

    type: Literal["https"]
    url: HttpsUrl = Field(description="where to post")
    headers_file: Path | None = Field(
        default=None, description="file with further headers, `Name: value` a line, such as Authorization"
    )
    ca: Path | None = Field(default=None, description="PEM bundle to verify it with instead of the upstream's")


type Sink = Annotated[FileSink | CommandSink | HttpsSink, Field(discriminator="type")]


class Recording(Model):
    directory: Path = Field(default=Path("recordings"), description="journal and archive")
    ack: Literal["before_response", "async"] = Field(
        default="before_response",
        description="when an answer is released: once its record is durable, or at once (`async`: a crash of the machine or "
        "of the gateway may then lose the record of what clients got in the last moments; statements are journalled before "
        "they are forwarded in either case)",
    )
    fold_interval: Duration = Field(
        default=timedelta(seconds=1), description="how often the journal is folded into the archive"
    )
    shared: bool = Field(
        default=False,
        description="whether the members of the directory's group may read the archive; every reading command then leaves "
        "word of who looked at what, as an event (docs/recordings.md)",
    )
    checkpoint_every: int = Field(
        default=10_000, gt=0, description="records after which the chain is signed, beside once a minute"
    )
    heads: tuple[Sink, ...] = Field(
        default=(),
        description="where the signed heads of the chain are sent as they are made: `file`, `command`, `https`",
    )
    journal_keep: Duration = Field(
        default=timedelta(days=1),
        description="how long the journal is kept after it was folded, to make the archive again from; counted while a "
        "gateway runs",
    )
    keep: Keep = Field(
        default=Keep(),
        description="how long it is kept, where a connection has no `keep` of its own; also for what belongs to no connection "
        "(refused sign-ins, say) or to one that is no longer in this file",
    )


class Webhook(Model):
    """Told of everything that happens to a review, signed as Standard Webhooks says (docs/reviews.md)."""

    url: HttpsUrl = Field(description="where to post")
    secret_file: Path = Field(description="file with the secret that messages are signed with (HMAC-SHA256)")
    headers_file: Path | None = Field(
        default=None, description="file with further headers, `Name: value` a line, such as Authorization"
    )
    ca: Path | None = Field(default=None, description="PEM bundle to verify it with instead of the upstream's")
    statement: bool = Field(default=False, description="whether it is told the SQL as well")


class Reviews(Model):
    """Requests that a rule holds until people have said yes; which those are, and who says yes, is the policy's."""

    machines: dict[Annotated[str, Field(pattern=r"^[^#]+#.+$")], tuple[Text, ...]] = Field(
        default_factory=dict,
        description="machines that may review, as `issuer#subject`, with the groups that each counts for; no other may",
    )
    webhooks: tuple[Webhook, ...] = Field(default=(), description="who is told of reviews")
    keep: Duration = Field(
        default=timedelta(days=90), description="how long a review is kept after it ended, with its statement"
    )
    most: int = Field(default=50, gt=0, description="requests of one principal that may wait at the same time")


class Config(Model):
    """All of ``hoop.yaml``."""

    version: Literal[1] = 1
    gateway: Gateway = Gateway()
    identity: Identity
    connections: tuple[Connection, ...] = Field(min_length=1)
    recording: Recording = Recording()
    policy: PolicyWords | None = None
    cost: Cost = Cost()
    reviews: Reviews = Reviews()

    @model_validator(mode="after")
    def _rules_name_connections_that_exist(self) -> "Config":
        check_connections(self.policy.rules if self.policy else (), self.connections)
        return self

    @model_validator(mode="after")
    def _limits_name_connections_that_exist(self) -> "Config":
        known = {connection.name for connection in self.connections}
        for limit in (*self.cost.ceilings, *self.cost.budgets):
            if unknown := sorted(set(limit.connections) - known):
                raise ValueError(f"cost: {limit.name} is for the connection {unknown[0]}, which is not in this file")
        return self

    @field_validator("connections")
    @classmethod
    def _connections_do_not_overlap(cls, connections: tuple[Connection, ...]) -> tuple[Connection, ...]:
        owners: dict[str, str] = {}
        for index, connection in enumerate(connections):
            if any(connection.name == other.name for other in connections[:index]):
                raise ValueError(f"two connections are called {connection.name}; a name is used once")
            for project in connection.projects:
                if project in owners:
                    raise ValueError(
                        f"project {project} belongs to connection {owners[project]} already; "
                        "a project has one connection"
                    )
                owners[project] = connection.name
        return connections


def check_connections(rules: tuple[Rule, ...], connections: tuple[Connection, ...]) -> None:
    """Raises ``ValueError`` when a rule is for a connection that is none of these."""
    known = {connection.name for connection in connections}
    for rule in rules:
        if unknown := sorted(set(rule.connections) - known):
            raise ValueError(f"policy: {rule.name} is for the connection {unknown[0]}, which is not in hoop.yaml")
