"""Tokens that must not let anybody in: each is tried on the running gateway, as a bearer and at the token exchange, and
each is refused for its own reason, which is in the record.

Around it what must work all the same: machines' real tokens, key rotation, an issuer that is away.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from uuid_utils import uuid7

from hoop_mitm.config import SessionTokens as Settings
from hoop_mitm.devkit.world import World
from hoop_mitm.identity import Identified, Principal, SessionTokens, SigningKeys
from tests.attacks.raw import Got
from tests.attacks.tokens import OAUTH2, exchange, post, session_token, use
from tests.gateways import RunningGateway
from tests.identity.forging import assembled, cut, hmac_with, reclaimed, signed_with
from tests.identity.local_issuer import public_jwk, public_pem
from tests.waiting import until

NOW = int(time.time())
HOUR = 3600


@dataclass
class Forge:
    """What an attacker has: genuine tokens, keys of their own, and a gateway of their own."""

    world: World
    gateway: RunningGateway
    attackers: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )

    @property
    def issuers(self) -> tuple[str, rsa.RSAPrivateKey]:
        """The issuer's key: attacks on what it says must not fail for their signature."""
        return self.world.issuer._people_keys._keys[-1]

    def claims(self, **changes: Any) -> dict[str, Any]:
        return jwt.decode(self.genuine(**changes), options={"verify_signature": False})

    def genuine(self, user: str = "alice", **changes: Any) -> str:
        return self.world.issuer.token(user, **changes)

    def with_header(self, header: dict[str, Any], key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
        kid, private = self.issuers
        header = {name: value for name, value in {"kid": kid, **header}.items() if value is not None}
        return jwt.encode(self.claims(**changes), key or private, algorithm=algorithm, headers=header)

    def raw(self, claims: bytes, header: bytes | None = None) -> str:
        """Genuinely signed, byte by byte as written."""
        kid, private = self.issuers
        return signed_with(private, header or json.dumps({"alg": "RS256", "kid": kid}).encode(), claims)

    def session(self, **changes: Any) -> str:
        """A session token as this very gateway would make it, but for what is changed."""
        keys = SigningKeys.load_or_create(self.gateway.config.gateway.state)
        return self.session_by(keys, **changes)

    def session_by(self, keys: SigningKeys, *, name: str = "hoop-mitm", ago: float = 0.0, **changes: Any) -> str:
        principal = Principal(self.world.issuer.url, "00u1alice", "alice@acme.example", ("analysts",))
        who = replace(Identified(principal, time.time() + HOUR, connection="acme"), **changes)
        return SessionTokens(keys, Settings(name=name), lambda: time.time() - ago).issue(who)[0]

    def foreign_keys(self) -> SigningKeys:
        return SigningKeys.load_or_create(self.gateway.directory / "another" / f"{uuid7()}")


type Make = Callable[[Forge], str]


def claims(user: str = "alice", **changes: Any) -> Make:
    return lambda f: f.genuine(user, **changes)


def ends_before_it_begins(forge: Forge) -> str:
    # Both within the leeway, so by the clock as it is when it is tried.
    now = int(time.time())
    return forge.genuine(iat=now + 30, nbf=None, exp=now)


def header(**changes: Any) -> Make:
    return lambda f: f.with_header(changes)


def forged(**changes: Any) -> Make:
    return lambda f: f.with_header(changes, f.attackers)


def literal(text: str) -> Make:
    return lambda _f: text


def github(**changes: Any) -> dict[str, Any]:
    """What GitHub Actions says of a job, as its documentation shows it."""
    return {
        "aud": "hoop-ci",
        "azp": None,
        "groups": None,
        "sub": "repo:acme/reports:ref:refs/heads/main",
        "ref": "refs/heads/main",
        "sha": "3c1d…",
        "repository": "acme/reports",
        "repository_owner": "acme",
        "repository_owner_id": "65",
        "repository_id": "74",
        "actor": "octocat",
        "workflow": "nightly",
        "head_ref": "",
        "base_ref": "",
        "event_name": "schedule",
        "ref_type": "branch",
        "job_workflow_ref": "acme/reports/.github/workflows/nightly.yml@refs/heads/main",
        "runner_environment": "github-hosted",
        "run_attempt": "1",
        **changes,
    }


def kubernetes(**changes: Any) -> dict[str, Any]:
    """What a projected service account token says."""
    return {
        "aud": ["hoop-k8s"],
        "azp": None,
        "groups": None,
        "sub": "system:serviceaccount:ci:runner",
        "kubernetes.io": {
            "namespace": "ci",
            "node": {"name": "node-1", "uid": "646e7c5e"},
            "pod": {"name": "runner-x2k", "uid": "5e0bd49b"},
            "serviceaccount": {"name": "runner", "uid": "14ee3fa4"},
            "warnafter": NOW + 3607,
        },
        **changes,
    }


def revoked(f: Forge) -> str:
    login = f.genuine(sub="00u-signed-out", iat=NOW - 60)
    assert post(f.gateway, OAUTH2, "/revoke", {"token": login}).status == 200
    return login


def traded_before_logout(f: Forge) -> str:
    login = f.genuine(sub="00u-traded", iat=NOW - 60)
    token = session_token(f.gateway, login)
    assert post(f.gateway, OAUTH2, "/revoke", {"token": login}).status == 200
    return token


def ecdsa(f: Forge) -> str:
    return f.with_header({}, ec.generate_private_key(ec.SECP256R1()), "ES256")


ATTACKS: list[tuple[str, str, Make]] = [
    # What is no token.
    ("malformed", "a word", literal("eyJtoken")),
    ("malformed", "two parts", literal("eyJ9.e30")),
    ("malformed", "an encrypted token", literal("eyJ9.e30.e30.e30.e30")),
    ("malformed", "padding", lambda f: f.genuine() + "=="),
    ("malformed", "a header that is no JSON", lambda _f: "eyJ" + assembled(b"x", {})[3:]),
    ("malformed", "a claim twice", lambda f: f.raw(json.dumps(f.claims()).encode()[:-1] + b', "sub": "00u2bob"}')),
    ("malformed", "claims that are a list", lambda f: f.raw(b"[]")),
    ("malformed", "a time that is a text", claims(exp="tomorrow")),
    ("malformed", "a time that has no end", lambda f: f.raw(json.dumps(f.claims() | {"exp": float("inf")}).encode())),
    ("malformed", "an extension that must be understood", lambda f: f.raw(
        json.dumps(f.claims()).encode(), json.dumps({"alg": "RS256", "kid": f.issuers[0], "crit": ["exp"]}).encode())),
    # Signatures.
    ("algorithm", "none", lambda f: assembled({"alg": "none", "kid": f.issuers[0]}, f.claims(), b"")),
    ("algorithm", "nOnE", lambda f: assembled({"alg": "nOnE", "kid": f.issuers[0]}, f.claims(), b"x")),
    ("algorithm", "HMAC with the public key as PEM", lambda f: hmac_with(
        public_pem(f.issuers[1]), {"alg": "HS256", "kid": f.issuers[0]}, f.claims())),
    ("algorithm", "HMAC with the public key as JWK", lambda f: hmac_with(
        json.dumps(public_jwk(f.issuers[1])).encode(), {"alg": "HS256", "kid": f.issuers[0]}, f.claims())),
    ("algorithm", "an algorithm that is good but not configured", lambda f: f.with_header({}, algorithm="PS256")),
    ("bad_signature", "no signature", lambda f: cut(f.genuine(), 2, "")),
    ("bad_signature", "bob's claims under alice's signature", lambda f: reclaimed(f.genuine(), sub="00u2bob")),
    ("bad_signature", "more groups than were signed", lambda f: reclaimed(f.genuine(), groups=["admins"])),
    ("bad_signature", "an attacker's key under the issuer's kid", forged()),
    ("bad_signature", "an attacker's key in the header", lambda f: f.with_header({"jwk": public_jwk(f.attackers)}, f.attackers)),
    ("bad_signature", "an attacker's key behind a URL", forged(jku="https://127.0.0.1:9/jwks")),
    ("bad_signature", "an attacker's certificate", forged(x5c=["MIIB"])),
    ("unknown_key", "an attacker's key under their own kid", forged(kid="mine")),
    ("unknown_key", "a kid that is a path", forged(kid="../../dev/null")),
    ("unknown_key", "a kid that is SQL", forged(kid="' UNION SELECT 'x")),
    ("unknown_key", "an elliptic signature under an RSA kid", ecdsa),
    # Issuers.
    ("unknown_issuer", "another issuer", claims(iss="https://evil.example")),
    ("unknown_issuer", "the issuer with a slash", lambda f: f.genuine(iss=f.world.issuer.url + "/")),
    ("unknown_issuer", "the issuer in capitals", lambda f: f.genuine(iss=f.world.issuer.url.upper())),
    ("unknown_issuer", "Google's own", claims(iss="https://accounts.google.com")),
    ("unknown_issuer", "no issuer", claims(iss=None)),
    ("unknown_key", "the people's issuer speaking for the machines'", lambda f: f.genuine(iss=f.world.issuer.machine_url)),
    # Audiences and parties.
    ("wrong_audience", "another application's", claims(aud="another-app", azp="another-app")),
    ("wrong_audience", "no audience", claims(aud=None)),
    ("wrong_audience", "ours with a suffix", claims(aud="hoop-mitm-staging", azp=None)),
    ("wrong_audience", "an access token for userinfo", lambda f: f.genuine(aud=f"{f.world.issuer.url}/userinfo", azp=None)),
    ("wrong_audience", "a real pool's audience", claims(aud="//iam.googleapis.com/projects/1/locations/global/x", azp=None)),
    ("wrong_party", "ours, given to another application", claims(azp="another-app")),
    ("wrong_party", "several audiences, no party", claims(aud=["hoop-mitm", "another-app"], azp=None)),
    # Times.
    ("expired", "an hour ago", claims(iat=NOW - 2 * HOUR, nbf=None, exp=NOW - HOUR)),
    ("expired", "just beyond the leeway", claims(iat=NOW - HOUR, nbf=None, exp=NOW - 61)),
    ("not_yet_valid", "issued tomorrow", claims(iat=NOW + 80000, nbf=None, exp=NOW + 86000)),
    ("not_yet_valid", "not before tomorrow", claims(nbf=NOW + 80000)),
    ("lifetime", "good for a year", claims(exp=NOW + 31536000)),
    ("lifetime", "ends before it begins", ends_before_it_begins),
    ("claim_missing", "without an end", claims(exp=None)),
    # Another purpose.
    ("wrong_type", "a logout token", header(typ="logout+jwt")),
    ("wrong_type", "a proof of possession", header(typ="dpop+jwt")),
    ("wrong_type", "a security event", claims(events={"http://schemas.openid.net/event/backchannel-logout": {}})),
    ("wrong_type", "bound to a key that nobody proved to hold", claims(cnf={"jkt": "x"})),
    # Who it is.
    ("claim_missing", "nobody's", claims(sub=None)),
    ("claim_missing", "a subject that steers the terminal", claims(sub="a\x1b[2J")),
    ("claim_missing", "groups that are an object", claims(groups={"admins": True})),
    ("groups_overage", "groups behind a link (Entra)", claims(groups=None, _claim_names={"groups": "src1"},
        _claim_sources={"src1": {"endpoint": "https://graph.windows.net/x"}})),
    ("groups_overage", "groups left out (Entra)", claims(groups=None, hasgroups=True)),
    ("claim_refused", "a GitHub job of another organisation", claims("ci", **github(repository_owner="evil"))),
    ("claim_refused", "a GitHub job of a look-alike", claims("ci", **github(repository_owner="acme-corp"))),
    ("claim_missing", "a GitHub token without an owner", claims("ci", **github(repository_owner=None))),
    ("claim_refused", "a pod of another namespace", claims("ci", **kubernetes(**{"kubernetes.io": {"namespace": "default"}}))),
    ("claim_missing", "a pod that writes the claim flat elsewhere", claims("ci", **kubernetes(
        **{"kubernetes.io": None, "kubernetes": {"io": "ci"}}))),
    ("wrong_audience", "a pod's token for the cluster itself", claims("ci", **kubernetes(aud=["https://kubernetes.default.svc"]))),
    # The gateway's own tokens.
    ("algorithm", "an issuer that plays gateway", header(typ="hoop-session+jwt", alg="RS256")),
    ("foreign_gateway", "another gateway's", lambda f: f.session_by(f.foreign_keys())),
    ("foreign_gateway", "ours by key, for another gateway", lambda f: f.session(name="staging")),
    ("expired", "a session of yesterday", lambda f: f.session(ago=90000, expires_at=NOW - 82800)),
    ("bad_signature", "a session with another subject", lambda f: reclaimed(f.session(), sub="00u2bob")),
    ("wrong_connection", "a session for a connection that is not there", lambda f: f.session(connection="payroll")),
    ("wrong_address", "a session of another network", lambda f: f.session(network="192.0.2.0/24")),
    ("revoked", "a login that was signed out", revoked),
    ("revoked", "a session token after its logout", traded_before_logout),
]  # fmt: skip

OURS = "hoop-session+jwt"


def is_ours(token: str) -> bool:
    try:
        return str(jwt.get_unverified_header(token).get("typ")) == OURS
    except jwt.PyJWTError:
        return False


@dataclass(frozen=True)
class Tried:
    token: str = field(repr=False)
    bearer: Got
    traded: Got
    recorded: tuple[str, str] | None
    traded_recorded: str | None


def identity(world: World) -> dict[str, Any]:
    ca = str(world.ca)
    return {
        "issuers": [
            {"issuer": world.issuer.url, "audiences": ["hoop-mitm"], "ca": ca},
            {
                "issuer": world.issuer.machine_url,
                "audiences": ["hoop-ci"],
                "kind": "machine",
                "ca": ca,
                "require": {"repository_owner": "acme"},
                "claims": {"groups": "repository"},
            },
            {
                "issuer": world.issuer.machine_url,
                "audiences": ["hoop-k8s"],
                "kind": "machine",
                "ca": ca,
                "require": {"kubernetes.io.namespace": "ci"},
                "claims": {"groups": "kubernetes.io.serviceaccount.name"},
            },
        ]
    }


@pytest.fixture(scope="module")
def own(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(world, tmp_path_factory.mktemp("tokens"), identity=identity(world)) as running:
        yield running


@pytest.fixture(scope="module")
def tried(own: RunningGateway, world: World) -> dict[str, Tried]:
    """All of them, tried one after the other; then what is recorded is read once."""
    forge, upstream, google = Forge(world, own), len(world.bigquery.requests()), len(world.google.requests())
    began = datetime.now(UTC)
    done: dict[str, tuple[str, Got, Got]] = {}
    for number, (_reason, name, make) in enumerate(ATTACKS):
        token = make(forge)
        bearer = use(own, token, f"User-Agent: attack-{number}/1")
        done[name] = token, bearer, exchange(own, token)
    assert len(world.bigquery.requests()) == upstream, "Google never sees any of it"
    assert len(world.google.requests()) == google
    refused = {
        agent: (reason, rule)
        for agent, reason, rule in own.ask(
            "SELECT f.user_agent, e.details->>'reason', f.rule FROM events e JOIN flows f ON f.id = e.flow_id "
            "WHERE e.type = 'identity.refused' AND f.user_agent LIKE 'attack-%'"
        )
    }
    trades = [
        reason
        for (reason,) in own.ask(
            "SELECT details->>'reason' FROM events WHERE type = 'token.refused' AND (details->>'host') LIKE 'sts%' "
            f"AND occurred_at >= TIMESTAMPTZ '{began.isoformat()}' ORDER BY id"
        )
    ]
    assert len(trades) == len(ATTACKS)
    return {
        name: Tried(*done[name], refused.get(f"attack-{number}/1"), trades[number])
        for number, (_reason, name, _make) in enumerate(ATTACKS)
    }


def test_the_table_is_long_enough_and_names_each_once() -> None:
    names = [name for _reason, name, _make in ATTACKS]
    assert len(names) >= 40
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("reason", "name"), [(r, n) for r, n, _m in ATTACKS], ids=[f"{r}: {n}" for r, n, _m in ATTACKS]
)
def test_refused(tried: dict[str, Tried], reason: str, name: str) -> None:
    attack = tried[name]
    assert attack.bearer.status == 403, attack.bearer
    assert attack.recorded == (reason, f"identity.{reason}")
    assert attack.traded.status == 400, attack.traded
    # What is ours is no OIDC token, whatever else it is.
    assert attack.traded_recorded == ("wrong_type" if is_ours(attack.token) else reason)
    for message in (attack.bearer.message, attack.traded.message):
        assert message.endswith("."), "a sentence for the client's user"
        assert not any(part in message for part in attack.token.split(".") if len(part) > 8)


def test_no_part_of_any_token_is_in_the_log(own: RunningGateway, tried: dict[str, Tried]) -> None:
    log = own.log.read_text()
    assert not any(part in log for attack in tried.values() for part in attack.token.split(".") if len(part) > 20)


@pytest.mark.parametrize("carrier", ["Bearer", "bearer", "Basic"])
def test_a_bad_token_at_connect_is_refused_as_well(own: RunningGateway, world: World, carrier: str) -> None:
    import base64

    from tests.attacks.raw import Raw
    from tests.attacks.tokens import DATASETS

    def ask(token: str) -> Got:
        value = base64.b64encode(f"user:{token}".encode()).decode() if carrier == "Basic" else token
        with Raw(own.process.address, own.config.gateway.certs / "bundle.pem") as raw:
            assert raw.connect("bigquery.googleapis.com", 443, f"Proxy-Authorization: {carrier} {value}").status == 200
            raw.tls()
            return raw.request("GET", DATASETS)

    assert ask(world.issuer.token("alice")).status == 200
    assert ask(world.issuer.token("alice", aud="another-app")).status == 403


# What must work all the same.


def test_a_github_job_is_a_machine_of_its_repository(own: RunningGateway, world: World) -> None:
    assert use(own, world.issuer.token("ci", **github())).status == 200
    [row] = own.ask("SELECT kind, groups, email FROM sessions WHERE subject = 'repo:acme/reports:ref:refs/heads/main'")
    assert row == ("machine", ["acme/reports"], None)


def test_a_pod_is_a_machine_of_its_service_account(own: RunningGateway, world: World) -> None:
    token = session_token(own, world.issuer.token("ci", **kubernetes()))
    assert use(own, token).status == 200
    [row] = own.ask("SELECT kind, groups FROM sessions WHERE subject = 'system:serviceaccount:ci:runner'")
    assert row == ("machine", ["runner"])


def test_keys_that_rotate_are_found_and_both_are_good(own: RunningGateway, world: World) -> None:
    old = world.issuer.token("alice")
    assert use(own, old).status == 200
    world.issuer.rotate_keys()
    new = world.issuer.token("alice")
    # After a flood of unknown keys the issuer is asked again only after a pause.
    until(lambda: use(own, new).status == 200)
    assert use(own, old).status == 200


def test_an_issuer_that_is_away_is_trusted_for_a_while_and_a_stranger_is_told_so(
    own: RunningGateway, world: World, tmp_path: Any
) -> None:
    known, fresh = world.issuer.token("alice"), world.issuer.token("bob")
    assert use(own, known).status == 200
    with RunningGateway(world, tmp_path, identity=identity(world)) as newcomer:
        world.issuer.outage = True
        try:
            assert use(own, fresh).status == 200, "its keys are known"
            refused = use(newcomer, fresh)
            assert (refused.status, "cannot read the keys" in refused.message) == (403, True)
        finally:
            world.issuer.outage = False
        [[reason]] = newcomer.ask("SELECT details->>'reason' FROM events WHERE type = 'identity.refused'")
        assert reason == "issuer_unreachable"


def test_made_up_key_ids_do_not_become_a_flood_at_the_issuer(
    own: RunningGateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    handle = world.issuer._discovery
    monkeypatch.setattr(world.issuer, "_discovery", lambda **more: (asked.append("discovery"), handle(**more))[1])
    forge = Forge(world, own)
    began = time.monotonic()
    for number in range(60):
        assert use(own, forge.with_header({"kid": f"made-up-{number}"}, forge.attackers)).status == 403
    allowed = 6 + (time.monotonic() - began) / 10
    assert len(asked) <= allowed
    assert use(own, forge.genuine()).status == 200, "and others are served"


def test_a_token_is_good_on_the_network_that_it_is_bound_to(world: World, tmp_path: Any) -> None:
    settings = {**identity(world), "session_tokens": {"bind_address": "network"}}
    with RunningGateway(world, tmp_path, identity=settings) as gateway:
        login = world.issuer.token("alice")
        token = session_token(gateway, login)
        assert jwt.decode(token, options={"verify_signature": False})["net"] == "127.0.0.0/24"
        assert use(gateway, token).status == 200
        elsewhere = Forge(world, gateway).session(network="198.51.100.0/24")
        refused = use(gateway, elsewhere)
        assert (refused.status, "another network address" in refused.message) == (403, True)


def test_a_short_login_does_not_become_a_long_session(own: RunningGateway, world: World) -> None:
    token = session_token(own, world.issuer.token("alice", lifetime=timedelta(minutes=10)))
    assert jwt.decode(token, options={"verify_signature": False})["exp"] <= time.time() + 11 * 60 + 5
