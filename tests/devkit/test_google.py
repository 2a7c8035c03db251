"""Google's token endpoints, as google-auth's own code meets them."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import google.auth.exceptions
import google.oauth2.credentials
import jwt
import pytest
from google.auth import identity_pool, impersonated_credentials

from hoop_mitm.devkit.google import WORKFORCE_AUDIENCE, ServiceAccount
from hoop_mitm.devkit.world import World
from tests.devkit.google_clients import SCOPES, credentials, transport

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


def test_a_service_account_key_is_traded_for_an_access_token(world: World) -> None:
    account = credentials(world)
    account.refresh(transport(world))
    grant = world.google.grant(account.token)

    assert account.token.startswith("ya29.")
    assert grant is not None
    assert grant.subject == world.google.gateway_account.email
    assert grant.scopes == set(SCOPES)


def test_the_key_file_is_its_owners_only(world: World) -> None:
    assert world.service_account_key.stat().st_mode & 0o777 == 0o600
    assert world.authorized_user.stat().st_mode & 0o777 == 0o600


def test_a_key_that_google_did_not_make_is_refused(world: World, tmp_path: Path) -> None:
    forged = tmp_path / "forged.json"
    ServiceAccount.create("hoop-gateway", world.project).write_key_file(forged, world.project)
    account = type(credentials(world)).from_service_account_file(str(forged), scopes=SCOPES)

    with pytest.raises(google.auth.exceptions.RefreshError, match="Invalid JWT Signature"):
        account.refresh(transport(world))


def _assertion(world: World, **claims: object) -> str:
    account = world.google.gateway_account
    issued = int(time.time())
    said = {
        "iss": account.email,
        "aud": "https://oauth2.googleapis.com/token",
        "scope": SCOPES[0],
        "iat": issued,
        "exp": issued + 3600,
    } | claims
    return jwt.encode(said, account.private_key, algorithm="RS256", headers={"kid": account.private_key_id})


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"aud": "https://bigquery.googleapis.com/"}, "invalid_grant"),
        ({"iss": "somebody@acme.iam.gserviceaccount.com"}, "invalid_grant"),
        ({"exp": 1}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/gmail"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
    ],
    ids=["another audience", "another account", "expired", "unknown scope", "no scope"],
)
def test_an_assertion_is_checked_as_google_checks_it(world: World, claims: dict[str, object], error: str) -> None:
    answer = transport(world).session.post(
        "https://oauth2.googleapis.com/token",
        data={
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": _assertion(world, **claims),
        },
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_assertion_for_more_than_an_hour_is_refused(world: World) -> None:
    token = jwt.decode(_assertion(world), options={"verify_signature": False})
    long = _assertion(world, exp=token["iat"] + 7200)
    answer = transport(world).session.post(
        "https://oauth2.googleapis.com/token",
        data={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": long},
    )
    assert answer.json()["error"] == "invalid_grant"


def test_application_default_credentials_of_a_user_are_refreshed(world: World) -> None:
    user = google.oauth2.credentials.Credentials.from_authorized_user_file(str(world.authorized_user))
    user.refresh(transport(world))
    grant = world.google.grant(user.token)

    assert grant is not None
    assert grant.subject == "owner@acme.example"


def federated(world: World, tmp_path: Path, token: str) -> identity_pool.Credentials:
    file = tmp_path / "token"
    file.write_text(token)
    return identity_pool.Credentials(
        audience=WORKFORCE_AUDIENCE,
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url="https://sts.googleapis.com/v1/token",
        credential_source={"file": str(file)},
        workforce_pool_user_project=world.project,
        scopes=[CLOUD_PLATFORM],
    )


def test_federation_knows_the_engineer_by_name(world: World, tmp_path: Path) -> None:
    person = federated(world, tmp_path, world.issuer.token("alice"))
    person.refresh(transport(world))
    grant = world.google.grant(person.token)

    assert grant is not None
    assert grant.subject == (
        "principal://iam.googleapis.com/locations/global/workforcePools/acme/subject/"
        + world.issuer.users["alice"].subject
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda world: world.issuer.token("alice", lifetime=timedelta(seconds=-5)), "expired"),
        (lambda world: world.issuer.token("alice", audience="another"), "not valid"),
        (lambda world: world.issuer.token("alice")[:-8] + "AAAAAAAA", "not valid"),
        (lambda _: "garbage", "not valid"),
    ],
    ids=["expired", "another audience", "another signature", "garbage"],
)
def test_federation_takes_the_issuers_own_tokens_only(world: World, tmp_path: Path, make: object, told: str) -> None:
    person = federated(world, tmp_path, make(world))  # type: ignore[operator]
    with pytest.raises(google.auth.exceptions.OAuthError, match=told):
        person.refresh(transport(world))


def test_the_gateways_account_may_impersonate_the_analytics_account(world: World) -> None:
    target = impersonated_credentials.Credentials(
        source_credentials=credentials(world, [CLOUD_PLATFORM]),
        target_principal=world.google.analytics_account.email,
        target_scopes=list(SCOPES),
    )
    target.refresh(transport(world))
    grant = world.google.grant(target.token)

    assert grant is not None
    assert grant.subject == world.google.analytics_account.email


def test_nobody_may_impersonate_an_account_that_did_not_allow_it(world: World) -> None:
    target = impersonated_credentials.Credentials(
        source_credentials=credentials(world, [CLOUD_PLATFORM]),
        target_principal="owner@acme.iam.gserviceaccount.com",
        target_scopes=list(SCOPES),
    )
    with pytest.raises(google.auth.exceptions.RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        target.refresh(transport(world))


@pytest.fixture
def outage(world: World) -> Iterator[None]:
    world.google.outage = True
    yield
    world.google.outage = False


@pytest.mark.usefixtures("outage")
def test_an_outage_of_google_gives_no_tokens(world: World) -> None:
    answer = transport(world).session.post("https://sts.googleapis.com/v1/token", data={})
    assert answer.status_code == 503


def test_a_token_ends_when_it_said(world: World) -> None:
    assert world.google.grant(world.google.issue("somebody", lifetime=-1)) is None
    assert world.google.grant("ya29.made-up") is None
    assert world.google.grant(None) is None


def test_the_key_file_is_the_one_that_google_hands_out(world: World) -> None:
    key = json.loads(world.service_account_key.read_text())
    assert key["type"] == "service_account"
    assert key["token_uri"] == "https://oauth2.googleapis.com/token"
    assert key["client_email"] == world.google.gateway_account.email
