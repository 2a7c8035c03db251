"""Whether what an archive holds is what was sealed, with nothing but the evidence's own arithmetic."""

from pathlib import Path
from typing import Any

import orjson
import zstandard

from hoop_mitm.evidence import (
    PARTS,
    BodyCommitment,
    Checkpoint,
    RecordingKeys,
    commit,
    first_link,
    is_canonical,
    link,
    record_digest,
)
from tests.recording.building import reading

ZERO = {"first": 0, "last": 0, "signed": 0}


def sound(directory: Path, keys: RecordingKeys) -> dict[str, dict[str, int]]:
    """Checks every record, part, body and checkpoint; the first, last and last signed record of each chain."""
    with reading(directory) as archive:
        records = archive.sql("FROM records ORDER BY chain, seq").to_arrow_table().to_pylist()
        checkpoints = archive.sql("FROM checkpoints ORDER BY chain, number").to_arrow_table().to_pylist()
        bodies = archive.execute("SELECT hash, salt, size, data FROM bodies ORDER BY hash, part").fetchall()
    chains: dict[str, dict[str, int]] = {}
    heads: dict[tuple[str, int], bytes] = {}
    named: set[bytes] = set()
    for record in records:
        chain, seq = record["chain"], record["seq"]
        known = chains.setdefault(chain, {**ZERO, "first": seq, "last": seq - 1})
        assert seq == known["last"] + 1, f"{chain} has no record {known['last'] + 1}"
        before = heads.get((chain, seq - 1), first_link(chain) if record["kind"] == "genesis" else None)
        named |= _record(record)
        if before is not None:
            assert record["link"] == link(before, seq, record["digest"]), f"the chain breaks at {chain}/{seq}"
        heads[chain, seq] = record["link"]
        known["last"] = seq
    last: dict[str, bytes] = {}
    for number, row in _numbered(checkpoints):
        checkpoint = Checkpoint(**row)
        key = keys.get(checkpoint.key)
        assert key is not None
        assert checkpoint.is_signed_by(key.public)
        assert checkpoint.number == number
        assert checkpoint.previous == last.get(checkpoint.chain, b"")
        assert checkpoint.head == heads[checkpoint.chain, checkpoint.seq]
        last[checkpoint.chain] = checkpoint.digest
        chains[checkpoint.chain]["signed"] = checkpoint.seq
    assert _bodies(bodies) >= named
    return chains


def _record(record: dict[str, Any]) -> set[bytes]:
    """Checks one record by itself; the names of its bodies."""
    data = record["data"]
    assert is_canonical(data)
    assert record["digest"] == record_digest(data.encode())
    skeleton = orjson.loads(data)
    assert skeleton["kind"] == record["kind"]
    for part in PARTS:
        salt, value = record[f"{part}_salt"], record[part]
        assert (salt is None) == (value is None) == (part not in skeleton["parts"])
        if value is not None:
            assert is_canonical(value)
            assert skeleton["parts"][part] == commit(part, salt, value.encode()).hex()
    messages = [skeleton, skeleton.get("request"), skeleton.get("response")]
    return {bytes.fromhex(m["body"]["hash"]) for m in messages if isinstance(m, dict) and m.get("body")}


def _numbered(checkpoints: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    count: dict[str, int] = {}
    numbered = []
    for row in checkpoints:
        count[row["chain"]] = count.get(row["chain"], 0) + 1
        numbered.append((count[row["chain"]], row))
    return numbered


def _bodies(parts: list[tuple[Any, ...]]) -> set[bytes]:
    made: dict[bytes, BodyCommitment] = {}
    for name, salt, size, data in parts:
        if not salt:
            # From before there were chains: no record names it.
            continue
        made.setdefault(name, BodyCommitment(salt)).update(zstandard.decompress(data, max_output_size=size))
    for name, commitment in made.items():
        assert commitment.digest() == name
    return set(made)
