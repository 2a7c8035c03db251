"""Where tokens are kept between commands: the OS keyring, or a file that only its owner can read."""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import platformdirs

from hoop_mitm.errors import ConfigError
from hoop_mitm.login.profile import ClientProfile

_SERVICE = "hoop-mitm"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

type Kind = Literal["keyring", "file"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in gave.

    Attributes:
        id_token: for the gateway.
        expires_at: its ``exp``, seconds since the epoch.
        issued_at: its ``iat``.
        refresh_token: to get the next ID token with; ``None`` when the issuer gave none.
    """

    id_token: str = field(repr=False)
    expires_at: float
    issued_at: float
    refresh_token: str | None = field(default=None, repr=False)


class _Place(Protocol):
    """One secret text."""

    kind: Kind

    def read(self) -> str | None: ...

    def write(self, text: str) -> None: ...

    def delete(self) -> None: ...


class TokenStore:
    """The tokens of one profile. What it says of itself never holds a token."""

    def __init__(self, profile: ClientProfile) -> None:
        identity = f"{profile.issuer} {profile.client_id}"
        self._directory = platformdirs.user_state_path("hoop-mitm")
        self._id = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self._places: list[_Place] = []
        if profile.store == "keyring" or (profile.store == "auto" and _has_keyring()):
            self._places.append(_Keyring(identity))
        if profile.store != "keyring":
            self._places.append(_File(self._directory / f"login-{self._id}.json"))

    def load(self) -> Tokens | None:
        """The tokens, or ``None`` when nobody is signed in.

        Raises:
            ConfigError: they cannot be read, or others could have read them.
        """
        text = next((text for place in self._places if (text := place.read())), None)
        try:
            return Tokens(**json.loads(text)) if text else None
        except (ValueError, TypeError):
            return None  # Written by another version: signing in again replaces it.

    def save(self, tokens: Tokens, kind: Kind | None = None) -> Kind:
        """Keeps the tokens instead of those that were there, in the same place, or in that of a ``kind``; says where.

        Raises:
            ConfigError: they cannot be kept.
        """
        fitting = [place for place in self._places if kind in (None, place.kind)]
        if not fitting:
            raise ConfigError(
                f"Tokens cannot be kept in a {kind} here: this machine has none that keeps secrets, or `store` in the "
                "client file says otherwise."
            )
        chosen = next((place for place in fitting if kind is None and place.read()), fitting[0])
        chosen.write(json.dumps(asdict(tokens)))
        for place in self._places:
            if place is not chosen:
                place.delete()
        return chosen.kind

    def delete(self) -> None:
        """Forgets them.

        Raises:
            ConfigError: they cannot be removed.
        """
        for place in self._places:
            place.delete()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process of this user at a time is inside: a refresh token may be good for one use only.

        Raises:
            ConfigError: the directory for tokens cannot be used.
        """
        _own(self._directory)
        try:
            handle = os.open(self._directory / f"login-{self._id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(self._directory, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


class _Keyring:
    kind: Kind = "keyring"

    def __init__(self, account: str) -> None:
        self._account = account

    def read(self) -> str | None:
        import keyring
        from keyring.errors import KeyringError

        try:
            return keyring.get_password(_SERVICE, self._account)
        except KeyringError as error:
            raise _locked_keyring(error) from None

    def write(self, text: str) -> None:
        import keyring
        from keyring.errors import KeyringError

        try:
            keyring.set_password(_SERVICE, self._account, text)
        except KeyringError as error:
            raise _locked_keyring(error) from None

    def delete(self) -> None:
        import keyring
        from keyring.errors import KeyringError, PasswordDeleteError

        try:
            keyring.delete_password(_SERVICE, self._account)
        except PasswordDeleteError:
            pass  # There was none.
        except KeyringError as error:
            raise _locked_keyring(error) from None


class _File:
    kind: Kind = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        try:
            with self._path.open() as file:
                status = os.fstat(file.fileno())
                text = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"your tokens cannot be read: {error.strerror}", file=self._path) from None
        if status.st_mode & _OTHERS or status.st_uid != os.geteuid():
            raise ConfigError(
                "others can read your tokens here. Run `hoop-mitm logout`, which ends them, and `hoop-mitm login`",
                file=self._path,
            )
        return text

    def write(self, text: str) -> None:
        _own(self._path.parent)
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise _unusable(self._path.parent, error) from None

    def delete(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(self._path.parent, error) from None


def _has_keyring() -> bool:
    """Whether the OS has a keyring that keeps secrets. (`keyring` has a backend that refuses, and one that forgets.)"""
    import keyring
    from keyring.backends import fail, null

    return not isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring)


def _own(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(directory, error) from None


def _unusable(directory: Path, error: OSError) -> ConfigError:
    return ConfigError(f"your tokens cannot be kept here: {error.strerror}", file=directory)


def _locked_keyring(error: Exception) -> ConfigError:
    return ConfigError(
        f"The keyring of this machine does not answer ({type(error).__name__}). Unlock it and try again, "
        "or sign in with `hoop-mitm login --store file`."
    )
