"""What had been learnt from bodies that go: kept, so that the table ``jobs`` can still be made from the records."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard

from hoop_mitm.bigquery.jobs import JOB_DOORS
from hoop_mitm.evidence import canonical, new_salt
from hoop_mitm.recording.joining import LARGEST_BODY
from hoop_mitm.recording.observing import CREATE_READ_SESSION, observe
from hoop_mitm.recording.retention.source import Source

#: Stands where something that may quote a statement was deleted, so that it shows that there was something.
DELETED = "deleted by retention"

_DOORS = ", ".join(f"'{door}'" for door in sorted(JOB_DOORS | {CREATE_READ_SESSION}))
#: The exchanges that told something of jobs, and of which something goes now.
_LOSERS = f"""
    SELECT
        going.chain, going.seq, flows.door, records.data, records.exchange, records.statement, going.request, going.response,
        observations.data, going.words,
        coalesce(going.request IN (SELECT hash FROM gone_body), false)
            OR coalesce(going.response IN (SELECT hash FROM gone_body), false) AS bodies,
        coalesce(flows.request_size, 0) + coalesce(flows.response_size, 0) AS size
    FROM going
    JOIN old.main.flows ON flows.chain = going.chain AND flows.seq = going.seq
    JOIN old.main.records ON records.chain = going.chain AND records.seq = going.seq
    LEFT JOIN old.main.observations ON observations.chain = going.chain AND observations.seq = going.seq
    WHERE going.kind = 'flow' AND NOT going.record AND flows.door IN ({_DOORS})
        AND ((going.words AND going.spoken) OR (going.bodies AND bodies))
    ORDER BY going.chain, going.seq
"""  # noqa: S608 - names of ours
# By the place of the row: else DuckDB reads all bodies there are beside their hashes. Names are given as one text, because
# it takes long over each value.
_PLACES = "CREATE TABLE body_place AS SELECT hash, part, rowid AS place FROM old.main.bodies"
_WHERE = """
    SELECT place, hash FROM body_place
    WHERE hash IN (SELECT unhex(unnest(string_split(?, ',')))) ORDER BY hash, part
"""
_AT_PLACES = """
    SELECT rowid, size, data FROM old.main.bodies
    WHERE rowid IN (SELECT unnest(string_split(?, ','))::BIGINT) AND rowid BETWEEN ? AND ?
"""
_SIZES = "SELECT hash, size FROM stored WHERE hash IN (SELECT unhex(unnest(string_split(?, ','))))"
_SHAPE = "SELECT chain, seq, data FROM old.main.observations"
_AT_ONCE, _BYTES_AT_ONCE = 500, 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Loser:
    chain: str
    seq: int
    door: str
    data: str
    exchange: str | None
    statement: str | None
    request: bytes | None
    response: bytes | None
    learnt: str | None
    words: bool
    bodies: bool
    size: int


def learn(source: Source) -> None:
    """Fill the table ``learnt`` (chain, seq, data) with what takes the place of bodies and statements that go."""
    source.execute(f"CREATE TABLE learnt AS {_SHAPE} LIMIT 0")
    source.execute(_PLACES)
    for some in _portions(_Loser(*row) for row in source.stream(_LOSERS)):
        read = _bodies(source, some)
        rows = [(loser.chain, loser.seq, data) for loser in some if (data := _learnt(loser, read)) is not None]
        source.fill("learnt", ("chain", "seq", "data"), rows, shaped_like=_SHAPE)


def observation_of(data: str) -> dict[str, Any]:
    """What a row of the table ``observations`` says, as :meth:`Observation.plain` gave it."""
    observation: dict[str, Any] = orjson.loads(data)["observation"]
    return observation


def without_statement(observation: Mapping[str, Any]) -> dict[str, Any]:
    """An observation without what holds a statement, or may quote from one."""
    job = observation.get("job")
    if job is not None:
        error = DELETED if job.get("error") else None
        job = {**job, "statement": None, "schema": None, "labels": {}, "error": error}
    return {**observation, "job": job, "default_dataset": None}


def _learnt(loser: _Loser, read: Mapping[bytes, bytes | None]) -> str | None:
    noted = orjson.loads(loser.statement or "{}").get("observed")
    if loser.learnt is not None:
        observation = observation_of(loser.learnt)
    elif noted is not None:
        if not loser.words:
            return None
        observation = noted
    else:
        observation = _observation(loser, read)
    if loser.words:
        observation = without_statement(observation)
    # Salted, so that the digest that stays when this is deleted in turn cannot be guessed at.
    return canonical({"observation": observation, "salt": new_salt().hex()}).decode()


def _observation(loser: _Loser, read: Mapping[bytes, bytes | None]) -> dict[str, Any]:
    note, exchange = orjson.loads(loser.data), orjson.loads(loser.exchange or "{}")
    request, response = (None if name is None else read.get(name) for name in (loser.request, loser.response))
    found = observe(
        loser.door, note["state"], exchange.get("url", ""), note["status"], request=request, response=response
    )
    return found.plain(with_statement=True)


def _portions(losers: Iterable[_Loser]) -> Iterator[Sequence[_Loser]]:
    """Some at a time: bodies are looked up together, but must not take too much memory."""
    for many in itertools.batched(losers, _AT_ONCE):
        some: list[_Loser] = []
        size = 0
        for loser in many:
            if some and size + loser.size > _BYTES_AT_ONCE:
                yield some
                some, size = [], 0
            some.append(loser)
            size += loser.size
        yield some


def _bodies(source: Source, losers: Sequence[_Loser]) -> dict[bytes, bytes | None]:
    wanted = {
        name for loser in losers for name in (loser.request, loser.response) if name is not None and not loser.learnt
    }
    sizes = dict(source.rows(_SIZES, [_together(wanted)])) if wanted else {}
    small = [name for name in wanted if sizes.get(name, LARGEST_BODY + 1) <= LARGEST_BODY]
    places = source.rows(_WHERE, [_together(small)]) if small else []
    if not places:
        return {}
    numbers = [place for place, _ in places]
    frames = {
        place: (size, data)
        for place, size, data in source.rows(_AT_PLACES, [",".join(map(str, numbers)), min(numbers), max(numbers)])
    }
    parts: dict[bytes, list[tuple[int, bytes]]] = {}
    for place, name in places:
        parts.setdefault(name, []).append(frames[place])
    return {name: _whole(pieces) for name, pieces in parts.items()}


def _together(names: Iterable[bytes]) -> str:
    return ",".join(name.hex() for name in names)


def _whole(frames: Sequence[tuple[int, bytes]]) -> bytes | None:
    decompress = zstandard.ZstdDecompressor().decompress
    try:
        return b"".join(decompress(data, max_output_size=size) for size, data in frames)
    except zstandard.ZstdError:
        return None
