"""Tokens lie in the keyring or in a file that only their owner can read, in one place at a time, and are never shown."""

import keyring
import pytest

from hoop_mitm.errors import ConfigError
from hoop_mitm.login import Tokens, TokenStore
from tests.login.keyrings import Wallet

TOKENS = Tokens("eyJ.id.token", 2e9, 1e9, "refresh-secret")


@pytest.fixture
def wallet(tmp_path, monkeypatch):
    place = tmp_path / "wallet"
    monkeypatch.setenv("TEST_WALLET", str(place))
    before = keyring.get_keyring()
    keyring.set_keyring(Wallet())
    yield place
    keyring.set_keyring(before)


@pytest.fixture
def file(home):
    def find():
        return list((home / ".local/state/hoop-mitm").glob("login-*.json"))

    return find


def test_without_a_keyring_they_lie_in_a_file_of_their_owners(profile, file):
    store = TokenStore(profile.model_copy(update={"store": "auto"}))
    assert store.load() is None
    assert store.save(TOKENS) == "file"
    assert store.load() == TOKENS
    [path] = file()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    store.delete()
    assert (store.load(), file()) == (None, [])


def test_with_a_keyring_they_lie_there(profile, wallet, file):
    store = TokenStore(profile.model_copy(update={"store": "auto"}))
    assert store.save(TOKENS) == "keyring"
    assert store.load() == TOKENS
    assert "refresh-secret" in wallet.read_text()
    assert file() == []
    store.delete()
    assert store.load() is None


def test_the_person_may_choose_and_what_is_renewed_stays_where_it_was(profile, wallet, file):
    store = TokenStore(profile.model_copy(update={"store": "auto"}))
    store.save(TOKENS)
    assert store.save(TOKENS, "file") == "file"
    assert "refresh-secret" not in wallet.read_text(), "in one place only"
    assert store.save(TOKENS) == "file"
    assert store.save(TOKENS, "keyring") == "keyring"
    assert file() == []


def test_what_is_not_there_cannot_be_chosen(profile):
    with pytest.raises(ConfigError, match="cannot be kept in a keyring"):
        TokenStore(profile).save(TOKENS, "keyring")


def test_a_locked_keyring_says_so(profile, wallet):
    wallet.mkdir()
    with pytest.raises(ConfigError, match="keyring of this machine does not answer"):
        TokenStore(profile.model_copy(update={"store": "keyring"})).load()


def test_a_file_that_others_could_read_is_not_used(profile, file):
    store = TokenStore(profile)
    store.save(TOKENS)
    file()[0].chmod(0o640)
    with pytest.raises(ConfigError, match="others can read your tokens"):
        store.load()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 9}'])
def test_what_another_version_wrote_is_as_good_as_nothing(profile, file, text):
    store = TokenStore(profile)
    store.save(TOKENS)
    file()[0].write_text(text)
    assert store.load() is None


def test_tokens_of_two_applications_do_not_meet(profile):
    other = profile.model_copy(update={"client_id": "another"})
    TokenStore(profile).save(TOKENS)
    assert TokenStore(other).load() is None


def test_nothing_shows_a_token():
    assert "refresh-secret" not in repr(TOKENS)
    assert "eyJ" not in repr(TOKENS)
