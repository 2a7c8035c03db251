"""No byte of a key or a token is in a recording or a log, in whatever clothes it came."""

import base64
import contextlib
import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import duckdb
import pytest
import zstandard

from hoop_mitm.devkit.world import World
from hoop_mitm.identity import audience_for
from tests.attacks.raw import Raw, bigquery
from tests.gateways import RunningGateway
from tests.waiting import until

QUERIES = "/bigquery/v2/projects/acme/queries"
PIECE = 24
"""Bytes of a secret that must not be found in a row: enough to be no coincidence, little enough to catch a shortened one."""


def views(data: bytes, depth: int = 2) -> Iterator[bytes]:
    """A file's bytes, and what is compressed or encoded anywhere in them."""
    yield data
    if depth == 0:
        return
    for start in (match.start() for match in re.finditer(rb"\x28\xb5\x2f\xfd", data)):
        try:
            unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(data[start:])
        except zstandard.ZstdError:
            continue
        yield from views(unpacked, depth - 1)
    for start in (match.start() for match in re.finditer(rb"\x1f\x8b\x08", data)):
        try:
            unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[start:])
        except zlib.error:
            continue
        yield from views(unpacked, depth - 1)
    for match in re.finditer(rb"[A-Za-z0-9+/_-]{40,}", data):
        text = match[0].translate(bytes.maketrans(b"-_", b"+/"))
        for skip in range(4):
            part = text[skip:]
            yield base64.b64decode(part[: len(part) // 4 * 4])


def pieces(secret: str) -> list[bytes]:
    """What to look for: the parts of a JWT without its header (which is no secret), the lines of a PEM."""
    parts = secret.split(".")[1:] if secret.startswith("eyJ") else secret.splitlines()
    return [part[:PIECE].encode() for part in parts if len(part) >= PIECE and not part.startswith("-----")]


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """All files below, and all values of the databases among them (which compress in ways of their own).

    A gateway that runs removes some meanwhile: of those nothing is left that could be found.
    """
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        try:
            found = [(str(file.relative_to(root)), file.read_bytes()), *_values(file)]
        except (OSError, duckdb.Error, sqlite3.Error):
            if file.exists():
                raise
        else:
            yield from found


def _values(file: Path) -> Iterator[tuple[str, bytes]]:
    if file.suffix == ".duckdb":
        with _opened(file) as connection:
            for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                rows = connection.execute(f"FROM {table}").fetchall()
                yield f"{file.name}:{table}", b"\n".join(_bytes(value) for row in rows for value in row)
    elif file.suffix in (".sqlite", ".db"):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as journal:
            for (table,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = journal.execute(f"SELECT * FROM {table}").fetchall()
                yield f"{file.name}:{table}", b"\n".join(_bytes(value) for row in rows for value in row)


def _opened(file: Path) -> duckdb.DuckDBPyConnection:
    """The file, open, as soon as the fold lets it go."""
    found: list[duckdb.DuckDBPyConnection] = []

    def is_free() -> bool:
        with contextlib.suppress(duckdb.IOException):
            found.append(duckdb.connect(file, read_only=True))
        return bool(found)

    until(is_free)
    return found[0]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def exchange(gateway: RunningGateway, subject_token: str) -> str:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject_token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "audience": audience_for("acme"),
    }
    with Raw(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
        raw.connect("sts.googleapis.com")
        raw.tls("sts.googleapis.com")
        headers = ("Content-Type: application/x-www-form-urlencoded",)
        answer = raw.request(
            "POST", "/v1/token", host="sts.googleapis.com", body=urlencode(form).encode(), headers=headers
        )
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["access_token"])


def misbehave(gateway: RunningGateway, world: World, token: str, other: str) -> None:
    """A client that puts its tokens wherever one can be put."""
    address, bundle = gateway.process.address, gateway.config.gateway.certs / "bundle.pem"
    encoded = base64.b64encode(token.encode()).decode()
    statements = [
        f"SELECT '{token}' AS mine",
        f"SELECT '{other}' AS somebody_elses",
        f"SELECT '{encoded}' AS encoded",
        f"SELECT 1 -- {token}",
        f"SELEKT '{token}'",
    ]
    with bigquery(address, bundle) as raw:
        for statement in statements:
            body = {"query": statement, "useLegacySql": False, "labels": {"note": "a"}}
            raw.request("POST", QUERIES, token=token, body=body, headers=(f"X-Mine: {token}", f"User-Agent: {token}"))
        packed = gzip.compress(json.dumps({"query": statements[0], "useLegacySql": False}).encode())
        headers = ("Content-Type: application/json", "Content-Encoding: gzip")
        raw.request("POST", QUERIES, token=token, body=packed, headers=headers)
        raw.request("GET", f"/bigquery/v2/projects/acme/datasets?filter=labels.x:{token}", token=token)
        raw.request("GET", f"/bigquery/v2/projects/acme/datasets/{token}", token=token)
        raw.request("GET", f"/bigquery/v2/projects/acme/datasets?access_token={token}")
        raw.request("GET", f"/elsewhere/{token}", token=token)
    basic = base64.b64encode(f"user:{other}".encode()).decode()
    for authorization in (
        f"Basic {basic}",
        f"Bearer {other}",
        f"Basic {base64.b64encode(b'user:garbage.' * 3).decode()}",
    ):
        with Raw(address, bundle) as raw:
            raw.connect("bigquery.googleapis.com", 443, f"Proxy-Authorization: {authorization}")
            raw.tls().request("GET", "/bigquery/v2/projects/acme/datasets")


@pytest.mark.parametrize("entry_point", ["proxy", pytest.param("mitmdump", marks=pytest.mark.exhaustive)])
def test_no_secret_is_in_a_recording_or_a_log(entry_point: str, world: World, tmp_path: Path) -> None:
    alice, bob = world.issuer.token("alice"), world.issuer.token("bob")
    damaged = alice[:-20] + "A" * 20
    with RunningGateway(world, tmp_path, entry_point) as gateway:  # type: ignore[arg-type]
        session = exchange(gateway, alice)
        misbehave(gateway, world, session, alice)
        misbehave(gateway, world, alice, bob)
        misbehave(gateway, world, damaged, session)
        gateway.folded().close()
        key = json.loads(world.service_account_key.read_text())
        secrets = [alice, bob, damaged, session, key["private_key"], *world.google.issued()]
        wanted = {piece: number for number, secret in enumerate(secrets) for piece in pieces(secret)}
        assert len(world.google.issued()) >= 1

        def leaks() -> list[str]:
            searched = [*contents(gateway.recordings), ("gateway.log", gateway.log.read_bytes())]
            assert sum(len(data) for _, data in searched) > 50_000
            return [
                f"secret {wanted[piece]} in {name}: {view[max(0, view.find(piece) - 80) : view.find(piece) + 40]!r}"
                for name, data in searched
                for view in views(data)
                for piece in wanted
                if piece in view
            ]

        running = leaks()
    assert running == []
    assert leaks() == []


def test_the_search_would_find_one(tmp_path: Path) -> None:
    """The control: a token hidden in each way that is looked through is found."""
    token = "eyJhbGciOiJub25lIn0.c3ViamVjdC1vZi10aGUtdG9rZW4tdGhhdC1pcw.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
    noise = b"noise " * 50
    for name, data in {
        "raw": token.encode(),
        "zstd": zstandard.compress(token.encode()),
        "gzip": gzip.compress(token.encode()),
        "base64": base64.b64encode(b"x" + token.encode()),
        "base64 in zstd": zstandard.compress(base64.b64encode(token.encode())),
    }.items():
        (tmp_path / name).write_bytes(noise + data + noise)
        found = [piece for view in views((tmp_path / name).read_bytes()) for piece in pieces(token) if piece in view]
        assert found, name
