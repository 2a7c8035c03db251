"""Heads that were kept elsewhere: what a file cannot show about its own end."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hoop_mitm.archive.verify.file import File
from hoop_mitm.archive.verify.report import Findings, Place, shortened
from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import Checkpoint

_LONGEST_LINE = 2**16
#: So many lines that may be repeated whole are remembered.
_MOST_TORN = 100
_AT_ONCE = 10_000

_LINKS = "SELECT heads.number, link FROM heads JOIN file.main.records ON records.chain = heads.chain AND records.seq = heads.seq"


@dataclass(frozen=True, slots=True)
class Head:
    """One line of a file of heads."""

    source: str
    checkpoint: Checkpoint


@dataclass(slots=True)
class Found:
    """How many heads were found in a chain, and the last record that one of them covers."""

    number: int = 0
    last: int = 0


def read(paths: Iterable[Path], findings: Findings) -> tuple[Head, ...]:
    """The heads in these files, one JSON object a line. What is no head is a finding, but for torn lines.

    Such is the last one of a file, and what a later line of it repeats whole.

    Raises:
        ArchiveError: a file cannot be read.
    """
    found: list[Head] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                found += _heads(path.name, file, findings)
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror or error}.") from error
    return tuple(found)


def _heads(name: str, file: BinaryIO, findings: Findings) -> Iterator[Head]:
    torn: dict[str, bytes] = {}
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
        if not line.strip():
            continue
        source = f"{name}:{number}"
        try:
            yield Head(source, Checkpoint.from_json(line))
        except ValueError:
            if line.endswith(b"\n"):
                torn[source] = line[:-1]
        else:
            torn = {place: part for place, part in torn.items() if not line.startswith(part)}
        if len(torn) > _MOST_TORN:
            _is_none(next(iter(torn)), findings)
            del torn[next(iter(torn))]
    for source in torn:
        _is_none(source, findings)


def _is_none(source: str, findings: Findings) -> None:
    findings.add("heads.form", f"{source} is no head.", Place(row=source))


def compare(
    heads: Iterable[Head],
    file: File,
    last: Mapping[str, int],
    publics: Mapping[str, Ed25519PublicKey],
    findings: Findings,
    *,
    bundle: bool,
) -> Mapping[str, Found]:
    """Find each head in its chain; what was found, by chain.

    Args:
        last: the last record of each chain in the file.
        publics: the keys that chains name, by fingerprint.
        bundle: other chains, and what comes after the session, are not expected to be there.
    """
    wanted: list[Head] = []
    for head in heads:
        checkpoint = head.checkpoint
        known = publics.get(checkpoint.key)
        if known and not checkpoint.is_signed_by(known):
            words = f"The head in {head.source} has a signature that does not fit it."
            findings.add("heads.form", words, _place(head))
        elif checkpoint.seq <= last.get(checkpoint.chain, -1):
            wanted.append(head)
        elif not bundle:
            _beyond(head, last.get(checkpoint.chain), findings)
    found: dict[str, Found] = {}
    for some in itertools.batched(wanted, _AT_ONCE):
        _find(some, file, found, findings, bundle=bundle)
    return found


def _beyond(head: Head, last: int | None, findings: Findings) -> None:
    checkpoint = head.checkpoint
    if last is None:
        words = (
            f"The head in {head.source} is of chain {shortened(checkpoint.chain)}, of which the file holds nothing. If that is "
            "another gateway's, give the heads of this one only."
        )
        findings.add("chain.missing", words, _place(head))
    else:
        words = (
            f"The tail is cut off: {head.source} was signed at {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC over record "
            f"{checkpoint.seq:,}, but the chain ends at record {last:,}."
        )
        findings.add("chain.cut", words, _place(head))


def _find(heads: Sequence[Head], file: File, found: dict[str, Found], findings: Findings, *, bundle: bool) -> None:
    import pyarrow as pa

    table = {
        "number": pa.array(range(len(heads)), pa.int64()),
        "chain": pa.array([head.checkpoint.chain for head in heads], pa.string()),
        "seq": pa.array([head.checkpoint.seq for head in heads], pa.int64()),
    }
    links = dict(file.rows_with(_LINKS, heads=pa.table(table)))
    for number, head in enumerate(heads):
        checkpoint = head.checkpoint
        if links.get(number) == checkpoint.head:
            of_chain = found.setdefault(checkpoint.chain, Found())
            of_chain.number += 1
            of_chain.last = max(of_chain.last, checkpoint.seq)
        elif number in links:
            words = f"{head.source} is the head of another history: the chain was rewritten before record {checkpoint.seq:,}."
            findings.add("heads.differ", words, _place(head))
        elif not bundle:
            words = f"{head.source} is a head over record {checkpoint.seq:,}, which is missing."
            findings.add("heads.differ", words, _place(head))


def _place(head: Head) -> Place:
    checkpoint = head.checkpoint
    return Place(checkpoint.chain, checkpoint.seq, at=checkpoint.at.isoformat(), row=head.source)
