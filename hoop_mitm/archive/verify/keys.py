"""Whose signatures count: the keys that a chain names, how one follows another, and those that the auditor brought."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import public_key
from hoop_mitm.keyfiles import fingerprint

_LONGEST_FILE = 2**16
_FINGERPRINT = 64


@dataclass(frozen=True, slots=True)
class Change:
    """A record that names a key: of kind ``genesis`` (``previous`` is empty) or ``key``."""

    seq: int
    previous: str
    key: str
    public: bytes

    @classmethod
    def read(cls, seq: int, note: Mapping[str, Any]) -> "Change":
        """Raises ``ValueError`` when the key is not the one that its fingerprint names, or is none."""
        public = bytes.fromhex(note["public"]) if isinstance(note.get("public"), str) else b""
        named = note.get("key")
        if not isinstance(named, str) or fingerprint(Ed25519PublicKey.from_public_bytes(public)) != named:
            raise ValueError("the key is not the one that its fingerprint names")
        previous = note.get("previous")
        return cls(seq, previous if isinstance(previous, str) else "", named, public)


def given(texts: Iterable[str]) -> frozenset[str]:
    """The fingerprints of the keys that an auditor names: a fingerprint, a public key, or a file that holds one.

    64 hexadecimal digits can be either; both readings are accepted, since nobody can make one that is also the other.

    Raises:
        ArchiveError: one of them is none of these.
    """
    found: set[str] = set()
    for text in texts:
        plain = text.strip()
        if len(plain) == _FINGERPRINT and all(digit in "0123456789abcdef" for digit in plain.lower()):
            found.add(plain.lower())
        try:
            found.add(fingerprint(public_key(_read(plain))))
        except ValueError as error:
            if plain.lower() not in found:
                raise ArchiveError(
                    f"{text!r} is neither the fingerprint of a recording key (64 hexadecimal digits), nor a public key, nor a "
                    "file that holds one."
                ) from error
    return frozenset(found)


def trusted(given_keys: frozenset[str], lines: Iterable[tuple[str, ...]]) -> frozenset[str]:
    """The given keys, and all that descend from one: ``lines`` are the keys of each chain in the order of their use."""
    found = set(given_keys)
    known = [line for line in lines if line]
    while True:
        more = {
            key
            for line in known
            for key in line[next((place for place, each in enumerate(line) if each in found), len(line)) :]
        }
        if more <= found:
            return frozenset(found)
        found |= more


def families(lines: Iterable[tuple[str, ...]]) -> Mapping[str, str]:
    """For each key the first of those that it hangs together with: keys of one chain do."""
    family: dict[str, str] = {}

    def root(key: str) -> str:
        while family.setdefault(key, key) != key:
            key = family[key]
        return key

    for line in lines:
        for key in line:
            family[root(key)] = root(line[0])
    return {key: root(key) for key in list(family)}


def _read(text: str) -> bytes | str:
    try:
        path = Path(text)
        if path.is_file():
            with path.open("rb") as file:
                return file.read(_LONGEST_FILE)
    except OSError as error:
        raise ArchiveError(f"{text} cannot be read: {error.strerror or error}.") from error
    except ValueError:
        pass
    return text
