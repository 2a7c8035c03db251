"""A keyring of an operating system, by `keyring`'s own interface: named in PYTHON_KEYRING_BACKEND."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.errors import KeyringLocked, PasswordDeleteError


class Wallet(KeyringBackend):
    """Keeps passwords in the file that ``$TEST_WALLET`` names; locked while that is a directory."""

    @properties.classproperty
    def priority(cls) -> float:  # noqa: N805 - keyring's way
        if "TEST_WALLET" not in os.environ:
            raise RuntimeError("there is no such keyring here")
        return 9

    def _all(self) -> dict[str, str]:
        place = Path(os.environ["TEST_WALLET"])
        if place.is_dir():
            raise KeyringLocked
        return json.loads(place.read_text()) if place.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        Path(os.environ["TEST_WALLET"]).write_text(json.dumps(self._all() | {f"{service} {username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        known = self._all()
        if known.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError
        Path(os.environ["TEST_WALLET"]).write_text(json.dumps(known))
