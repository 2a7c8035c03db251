"""Facts that have been found before."""

import hashlib
import threading
from collections import OrderedDict
from typing import Final

from hoop_mitm.sql.facts import Dataset, StatementFacts

type Key = bytes

MOST: Final = 4096
"""Statements whose facts are kept; the one that was not asked for the longest goes."""


def key(statement: str, project: str, default: Dataset | None, *, legacy: bool) -> Key:
    """What facts depend on, as 32 bytes: texts of up to a megabyte are not kept."""
    parts = (project, *(part or "" for part in default or ()), str(legacy), str(default is None), statement)
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
    return digest.digest()


class Cache:
    """The newest facts, by key. May be asked by several threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._facts: OrderedDict[Key, StatementFacts] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> StatementFacts | None:
        with self._lock:
            facts = self._facts.get(key)
            if facts is not None:
                self._facts.move_to_end(key)
            return facts

    def put(self, key: Key, facts: StatementFacts) -> None:
        with self._lock:
            self._facts[key] = facts
            while len(self._facts) > self._most:
                self._facts.popitem(last=False)
