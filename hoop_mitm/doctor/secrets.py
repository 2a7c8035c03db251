"""Can whoever runs this read what only the gateway should: its Google key, its signing keys, what it recorded?"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hoop_mitm.config import Impersonation, ServiceAccountKey
from hoop_mitm.doctor.finding import Finding, NotChecked
from hoop_mitm.doctor.patient import Patient
from hoop_mitm.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def key_files(patient: Patient) -> Iterator[Path]:
    """The files with Google keys that the gateway is configured with."""
    try:
        config = patient.config
    except ConfigError:
        return
    for connection in config.connections if config else ():
        credential = connection.credential
        if isinstance(credential, Impersonation):
            credential = credential.source
        if isinstance(credential, ServiceAccountKey):
            yield credential.key_file


def secrets(patient: Patient) -> Iterator[Finding]:
    """Where the gateway is on this machine."""
    try:
        config = patient.config
    except ConfigError:
        raise NotChecked("the gateway's configuration is wrong") from None
    if config is None:
        raise NotChecked("the gateway is not on this machine")
    for file in dict.fromkeys(key_files(patient)):
        if not file.exists():
            yield Finding(
                "secret.key_missing",
                "broken",
                f"There is no key file {file}, which hoop.yaml names.",
                "The gateway cannot reach BigQuery.",
                "Put the key there, or name the right file (connections[].credential.key_file).",
            )
        elif os.access(file, os.R_OK):
            yield Finding(
                "secret.google_key",
                "warning",
                f"You can read the gateway's Google key, {file}.",
                "So can every program that you run, an assistant too, and with it ask BigQuery past the gateway: here "
                "it is a recorder, not a boundary.",
                "Use `type: federation`, or have the gateway run as another user, or on another machine.",
            )
    for directory in (config.gateway.state, config.gateway.certs, config.recording.directory):
        yield from _exposed(directory, is_secret=directory != config.recording.directory)


def _exposed(directory: Path, *, is_secret: bool) -> Iterator[Finding]:
    """Files with private keys, or recordings, that are open to others than their owner."""
    for file in _files(directory):
        status = file.stat()
        foreign = status.st_uid not in (os.getuid(), 0) and os.access(file, os.R_OK)
        if (status.st_mode & _OTHERS and _is_reachable(file)) or (foreign and os.getuid() != 0):
            yield Finding(
                "secret.signing_key" if is_secret else "secret.recording",
                "broken" if is_secret else "warning",
                f"Others than the gateway's user can read {file}.",
                "With it, tokens or certificates of the gateway can be forged."
                if is_secret
                else "It holds statements and rows of everybody who went through the gateway.",
                f"chmod -R go= {directory}" + ("; then make new keys, since these may be known." if is_secret else ""),
            )
            return


def _files(directory: Path) -> Iterator[Path]:
    """Those that matter: private keys, and what was recorded."""
    try:
        for path in sorted(directory.rglob("*")):
            if (
                path.is_file()
                and path.suffix in (".pem", ".key", ".jwk", ".json", ".duckdb", ".db", "")
                and not _is_public(path)
            ):
                yield path
    except OSError:
        return


def _is_public(path: Path) -> bool:
    """Certificates, bundles and lock files hold no secret."""
    if path.name.startswith(".") or path.name.endswith("lock") or path.stat().st_size == 0:
        return True
    if path.suffix == ".pem":
        with path.open("rb") as file:
            return b"PRIVATE KEY" not in file.read(16 * 1024)
    return False


def _is_reachable(path: Path) -> bool:
    """Whether others can come to the file at all: a directory on the way may be closed to them."""
    return all(parent.stat().st_mode & (stat.S_IXOTH | stat.S_IXGRP) for parent in path.absolute().parents)
