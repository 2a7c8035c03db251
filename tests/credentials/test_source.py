"""Access tokens, from the local Google, through google-auth's own code."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hoop_mitm.config.model import Connection, Upstream
from hoop_mitm.credentials import CredentialSource
from hoop_mitm.credentials.google import account_for
from hoop_mitm.devkit.world import World
from hoop_mitm.errors import ConfigError, CredentialError
from hoop_mitm.identity import Principal
from hoop_mitm.outbound import session

ALICE = Principal("https://issuer", "alice", "alice@acme.example", ("analysts",))
BOB = Principal("https://issuer", "bob", "bob@acme.example", ("analysts", "reviewers"))


class Kept:
    """Takes the secrets that a source tells of."""

    def __init__(self) -> None:
        self.secrets: list[str] = []

    def __call__(self, secret: str, *, keep: bool = False) -> None:
        self.secrets.append(secret)


def source(world: World, credential: dict[str, Any], kept: Kept | None = None) -> CredentialSource:
    connection = Connection.model_validate({"name": "acme", "projects": ["acme"], "credential": credential})
    http = session(Upstream.model_validate({"ca": world.ca, "hosts": world.hosts}))
    return CredentialSource(connection, http, kept or Kept())


@pytest.fixture(autouse=True)
def as_it_was(world: World) -> Iterator[None]:
    lifetime = world.google.token_lifetime
    yield
    world.google.outage, world.google.token_lifetime = False, lifetime


def subject_of(world: World, token: str) -> str:
    grant = world.google.grant(token)
    assert grant
    return grant.subject


def test_a_token_is_fetched_once_and_told_to_the_redactor(world: World) -> None:
    kept = Kept()
    with_key = source(world, world.credential("service_account"), kept)

    async def twice() -> tuple[str, str]:
        first, second = await asyncio.gather(with_key.token(ALICE), with_key.token(BOB))
        return first.value, second.value

    first, second = asyncio.run(twice())
    assert first == second
    assert kept.secrets == [first]
    assert subject_of(world, first) == world.google.gateway_account.email


def test_the_scope_is_bigquerys_alone(world: World) -> None:
    token = asyncio.run(source(world, world.credential("service_account")).token(ALICE))
    grant = world.google.grant(token.value)
    assert grant
    assert grant.scopes == {"https://www.googleapis.com/auth/bigquery"}


def test_a_token_that_is_about_to_end_is_replaced_in_the_background(world: World) -> None:
    world.google.token_lifetime = 200
    ahead = source(world, world.credential("service_account"))

    async def later() -> tuple[str, str, str]:
        first = await ahead.token(ALICE)
        world.google.token_lifetime = 3600
        meanwhile = await ahead.token(ALICE)
        async with asyncio.timeout(60):
            while (now := await ahead.token(ALICE)) == first:
                await asyncio.sleep(0.05)
        return first.value, meanwhile.value, now.value

    first, meanwhile, now = asyncio.run(later())
    assert first == meanwhile != now


def test_a_token_that_google_no_longer_takes_is_replaced(world: World) -> None:
    refused = source(world, world.credential("service_account"))

    async def again() -> tuple[str, str]:
        first = await refused.token(ALICE)
        refused.invalidate(dataclasses.replace(first))
        return first.value, (await refused.token(ALICE)).value

    first, second = asyncio.run(again())
    assert first != second


def test_groups_choose_the_account(world: World) -> None:
    """Google decides: the gateway may become `analytics`, and not the account that reviewers are mapped to."""
    credential = world.credential("impersonation") | {"groups": {"reviewers": "payroll@acme.iam.gserviceaccount.com"}}
    by_group = source(world, credential)
    token = asyncio.run(by_group.token(ALICE))
    assert subject_of(world, token.value) == world.google.analytics_account.email
    with pytest.raises(CredentialError, match="PERMISSION_DENIED"):
        asyncio.run(source(world, credential).token(BOB))


def test_federation_shows_google_the_person(world: World) -> None:
    federated = source(world, world.credential("federation"))

    async def both() -> list[str]:
        people = [(ALICE, world.issuer.token("alice")), (BOB, world.issuer.token("bob"))]
        return [(await federated.token(person, token)).value for person, token in people]

    alices, bobs = asyncio.run(both())
    assert "alice" in subject_of(world, alices)
    assert "bob" in subject_of(world, bobs)


def test_federation_without_the_persons_token_says_what_to_do(world: World) -> None:
    with pytest.raises(CredentialError, match="Sign in again"):
        asyncio.run(source(world, world.credential("federation")).token(ALICE))


def test_an_outage_is_a_clear_refusal_that_holds_no_secret_and_does_not_hammer_google(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All that is asked here is asked soon, however busy this machine is.
    monkeypatch.setattr("hoop_mitm.credentials.source.RETRY_AFTER", 600.0)
    world.google.outage = True
    out = source(world, world.credential("service_account"))
    before = len(world.google.requests())

    async def ask() -> list[str]:
        messages = []
        for _ in range(5):
            with pytest.raises(CredentialError) as refused:
                await out.token(ALICE)
            messages.append(str(refused.value))
        return messages

    messages = asyncio.run(ask())
    assert all("Google" in message for message in messages)
    assert "eyJ" not in "".join(messages)
    asked = len(world.google.requests()) - before
    assert asked <= 8, "one refresh, with google-auth's own retries"


def test_a_refused_key_names_googles_word_and_nothing_else(world: World, tmp_path: Path) -> None:
    other = json.loads(world.service_account_key.read_text()) | {"client_email": "nobody@acme.iam.gserviceaccount.com"}
    key = tmp_path / "key.json"
    key.write_text(json.dumps(other))
    with pytest.raises(CredentialError, match="invalid_grant"):
        asyncio.run(source(world, {"type": "service_account", "key_file": str(key)}).token(ALICE))


@pytest.mark.parametrize("content", [None, "", "{}", '{"type": "authorized_user"}', "not json"])
def test_a_key_file_that_cannot_be_used_is_told_at_the_start(content: str | None, world: World, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    if content is not None:
        key.write_text(content)
    with pytest.raises(ConfigError, match="key_file"):
        source(world, {"type": "service_account", "key_file": str(key)}).check()


def test_the_key_is_told_to_the_redactor_at_the_start(world: World) -> None:
    kept = Kept()
    source(world, world.credential("service_account"), kept).check()
    assert kept.secrets == [json.loads(world.service_account_key.read_text())["private_key"]]


def test_a_token_does_not_show_in_its_repr(world: World) -> None:
    token = asyncio.run(source(world, world.credential("service_account")).token(ALICE))
    assert token.value not in repr(token)
    assert token.expires_at > time.time() + 3000


@pytest.mark.parametrize(
    ("groups", "account"),
    [((), "default"), (("x",), "default"), (("a",), "for-a"), (("b", "a"), "for-a"), (("b",), "for-b")],
)
def test_the_first_listed_group_wins(groups: tuple[str, ...], account: str) -> None:
    assert account_for("default", {"a": "for-a", "b": "for-b"}, groups) == account
