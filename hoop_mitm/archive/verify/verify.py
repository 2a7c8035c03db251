"""The whole verification, in its order."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hoop_mitm.archive.database import VERSION
from hoop_mitm.archive.opening import file_of
from hoop_mitm.archive.verify import bodies as bodies_
from hoop_mitm.archive.verify import heads as heads_
from hoop_mitm.archive.verify import joined as joined_
from hoop_mitm.archive.verify import keys as keys_
from hoop_mitm.archive.verify import removals as removals_
from hoop_mitm.archive.verify import signatures as signatures_
from hoop_mitm.archive.verify import structure as structure_
from hoop_mitm.archive.verify.beside import newer_records
from hoop_mitm.archive.verify.file import File, UnreadableError
from hoop_mitm.archive.verify.keys import Change
from hoop_mitm.archive.verify.look import NEEDED, WITHOUT_CHAINS, How, Seen, look
from hoop_mitm.archive.verify.records import Absent
from hoop_mitm.archive.verify.removals import Removals, Taking
from hoop_mitm.archive.verify.report import ChainReport, Findings, Limit, Origin, Place, Report, shortened
from hoop_mitm.archive.verify.settling import Settling
from hoop_mitm.archive.verify.signatures import Signatures
from hoop_mitm.archive.verify.spans import Span, spans
from hoop_mitm.archive.verify.workers import Workers
from hoop_mitm.errors import ArchiveError

type Progress = Callable[[str], None]

_MEMORY = "2GB"
_ARCHIVE = "SELECT version, written_by FROM file.main.archive"
_JOURNALS = "SELECT id, folded_to, held FROM file.main.journals"
#: What the fold shows before the gateway has recorded it (``recording.remarks``).
_REMARK = """
    chain IS NULL AND seq = 0 AND starts_with(type, 'recording.') AND client_address = ''
    AND session_id IS NULL AND flow_id IS NULL AND issuer IS NULL AND subject IS NULL AND email IS NULL
"""
_REMARKS = f"SELECT count(*) FROM file.main.events WHERE {_REMARK}"  # noqa: S608 - a constant of ours
_OLD_EVENTS = f"SELECT count(*) FROM file.main.events WHERE chain IS NULL AND NOT ({_REMARK})"  # noqa: S608 - as above
_WITHOUT_RECORDS = f"""
    SELECT
        (SELECT count(*) FROM file.main.flows WHERE chain IS NULL),
        (SELECT count(*) FROM file.main.events WHERE chain IS NULL),
        (SELECT count(*) FROM file.main.events WHERE {_REMARK})
"""  # noqa: S608 - one of ours
_OTHER_SESSIONS = """
    SELECT DISTINCT session_id FROM (
        SELECT id AS session_id FROM file.main.sessions
        UNION ALL SELECT session_id FROM file.main.flows
        UNION ALL SELECT session_id FROM file.main.jobs
        UNION ALL SELECT session_id FROM file.main.events WHERE chain NOT IN (SELECT chain FROM file.main.removals)
        UNION ALL SELECT session_id FROM file.main.read_sessions
    ) WHERE session_id IS DISTINCT FROM ?
    ORDER BY ALL LIMIT 5
"""
#: Records that are shown in a bundle, and are followed by a signature, but not without a gap.
_UNCONNECTED = """
    WITH runs AS (
        SELECT chain, seq, data IS NOT NULL AS shown, seq - row_number() OVER (PARTITION BY chain ORDER BY seq) AS run
        FROM (SELECT DISTINCT chain, seq, data FROM file.main.records)
    ), signed AS (
        SELECT runs.chain, run, max(runs.seq) AS until
        FROM runs JOIN file.main.checkpoints USING (chain, seq) GROUP BY runs.chain, run
    )
    SELECT runs.chain, runs.seq
    FROM runs LEFT JOIN signed ON signed.chain = runs.chain AND signed.run = runs.run
    WHERE shown AND runs.seq > coalesce(until, 0)
        AND runs.seq <= (SELECT max(seq) FROM file.main.checkpoints AS later WHERE later.chain = runs.chain)
    ORDER BY ALL
"""
#: What the chains of the archive's own work are called, and those of what was imported.
KEPT = "kept-"


def _silent(_: str) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class _Chain:
    """What was seen of one chain."""

    id: str
    seen: list[Span] = field(default_factory=list)
    records: int = 0
    sound: int = 0
    gone: int = 0
    begins: str | None = None
    ends: str | None = None
    genesis: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    takings: list[Taking] = field(default_factory=list)
    migrated: bool = False
    absent: list[Absent] = field(default_factory=list)
    checkpoints: int = 0
    signatures: Signatures = field(default_factory=Signatures)

    @property
    def first(self) -> int:
        return self.seen[0].first

    @property
    def last(self) -> int:
        return self.seen[-1].last

    @property
    def origin(self) -> Origin:
        if self.genesis and self.genesis[0][1].get("imported"):
            return "import"
        return "archive" if self.id.startswith(KEPT) else "gateway"

    @property
    def created_at(self) -> str:
        return str(self.genesis[0][1].get("created_at", "")) if self.genesis else ""


def verify(
    path: Path,
    *,
    keys: Iterable[str] = (),
    heads: Iterable[Path] = (),
    quick: bool = False,
    wait: float = 10,
    progress: Progress = _silent,
) -> Report:
    """Check everything that the file at ``path`` lets itself be checked for. Nothing is written.

    Args:
        keys: what an auditor knows of the gateway's key: fingerprints, public keys, or files that hold one.
        heads: files of checkpoints that were kept elsewhere.
        quick: leave out what takes longest: the bodies, and joining the jobs again.
        wait: seconds to ask again for while somebody has the file open for writing.
        progress: is told what is being done.

    Raises:
        ArchiveError: the file, a key or a file of heads cannot be opened.
    """
    path = file_of(path)
    if not path.exists():
        raise ArchiveError(f"There is no recording at {path}. Name another file.")
    given = keys_.given(keys)
    with File(path, wait=wait, threads=2, memory=_MEMORY) as file:
        return _Verification(file, given, tuple(heads), quick=quick, progress=progress).run()


class _Verification:
    def __init__(
        self, file: File, given: frozenset[str], heads: Sequence[Path], *, quick: bool, progress: Progress
    ) -> None:
        self._file = file
        self._given = given
        self._heads = heads
        self._quick = quick
        self._progress = progress
        self._findings = Findings()
        self._chains: dict[str, _Chain] = {}
        self._notes: list[str] = []
        self._limits: list[Limit] = []
        self._checked: dict[str, int] = {}
        self._uncovered: dict[str, int] = {}
        self._session: str | None = None
        self._journals_alone: list[tuple[str, int]] = []
        self._folded_to: dict[str, int] = {}
        self._found_heads: Mapping[str, heads_.Found] = {}
        self._removed: dict[str, Mapping[str, int]] = {}
        self._structure = structure_.Structure(frozenset(), bundle=False, notes=())

    def run(self) -> Report:
        began = time.monotonic()
        try:
            self._examine()
        except UnreadableError as error:
            self._findings.add("file.damaged", f"The file is damaged, and the verification ended here: {error}")
        self._say_limits()
        return Report(
            path=str(self._file.path),
            bundle=self._session,
            checked=self._checked,
            findings=tuple(self._findings.told),
            found=dict(self._findings.counts),
            chains=tuple(self._report(chain) for chain in self._ordered()),
            uncovered={table: number for table, number in self._uncovered.items() if number},
            notes=tuple(self._notes),
            limits=tuple(self._limits),
            seconds=time.monotonic() - began,
        )

    def _examine(self) -> None:
        self._progress("Looking at how the file is built")
        self._structure = structure_.examine(self._file, self._findings)
        self._notes += self._structure.notes
        if not self._is_archive():
            return
        if self._structure.bundle:
            self._check_bundle()
        planned = spans(self._file, self._findings)
        number = sum(span.numbers for some in planned.values() for span in some)
        compare = self._structure.tables >= NEEDED
        settling = Settling(self._file, self._findings) if compare else None
        with Workers.for_records(self._file, number) as workers:
            held = self._held(planned)
            tasks = (
                (span, How(self._structure.bundle, compare, not self._quick, held.get(name, frozenset())))
                for name, some in planned.items()
                for span in some
            )
            for seen in workers.each(look, tasks):
                self._take(seen, settling)
                self._progress(f"{self._checked.get('records', 0):,} of {number:,} records")
            self._check_signatures(workers)
            self._check_chains()
            self._check_keys()
            removals = self._check_removals()
            if settling:
                self._progress("Comparing the tables")
                self._settle(settling)
            self._check_heads()
            if not self._quick:
                self._check_bodies(workers, removals)
                self._check_jobs(workers)

    def _is_archive(self) -> bool:
        """Whether it can be gone on with: the tables of the chain are there, in this version."""
        rows = self._file.rows(_ARCHIVE) if "archive" in self._structure.tables else []
        if len(rows) != 1:
            self._findings.add(
                "structure.archive", f"The table archive has {len(rows)} rows, not one.", Place(table="archive")
            )
        elif rows[0][0] != VERSION:
            if not isinstance(rows[0][0], int) or rows[0][0] > VERSION:
                raise ArchiveError(
                    f"{self._file.path} has version {rows[0][0]} of the recording's format and was written by "
                    f"{shortened(rows[0][1])}; this program verifies version {VERSION}. Upgrade hoop-mitm."
                )
            then = (
                "had no chain: there is nothing to verify. What is recorded after a migration is covered"
                if rows[0][0] <= WITHOUT_CHAINS
                else "put its tables together in another way. Its records, chains and signatures stay as they are"
            )
            raise ArchiveError(
                f"{self._file.path} has version {rows[0][0]} of the recording's format, which {then}. "
                f"`hoop-mitm migrate {self._file.path}` brings it to version {VERSION}, and keeps the old file beside it."
            )
        missing = {"records", "checkpoints", "removals"} - self._structure.tables
        for table in sorted(missing):
            words = f"Without the table {table} nothing can be verified."
            self._findings.add("structure.table", words, Place(table=table))
        return not missing

    def _check_bundle(self) -> None:
        """That a bundle is of the one session that it says."""
        sessions = self._file.rows("SELECT session_id FROM file.main.bundle")
        self._session = sessions[0][0] if len(sessions) == 1 else None
        others = self._file.rows(_OTHER_SESSIONS, [self._session])
        if self._session is None or others:
            named = ", ".join(shortened(other) for (other,) in others) or "it does not say which"
            words = f"A bundle is of one session, and this file holds something of others: {named}."
            self._findings.add("bundle.sessions", words, Place(table="bundle"))
        for chain, seq in self._file.rows(_UNCONNECTED):
            words = "Nothing connects this record to a signature behind it: what lay between is missing."
            self._findings.add("record.unsigned", words, Place(chain, seq, table="records"))

    def _take(self, seen: Seen, settling: Settling | None) -> None:
        chain = self._chains.setdefault(seen.span.chain, _Chain(seen.span.chain))
        chain.seen.append(seen.span)
        chain.records += seen.records
        chain.sound += seen.sound
        chain.gone += seen.gone
        chain.begins = min(filter(None, (chain.begins, seen.begins)), default=None)
        chain.ends = max(filter(None, (chain.ends, seen.ends)), default=None)
        chain.genesis += seen.genesis
        chain.changes += seen.changes
        chain.takings += seen.takings
        chain.migrated |= seen.migrated
        chain.absent += seen.absent
        self._findings.extend(seen.findings.told, seen.findings.counts)
        self._checked["records"] = self._checked.get("records", 0) + seen.records
        if settling and seen.left is not None:
            settling.add(seen.span.chain, seen.left, seen.tables, seen.starts)

    def _ordered(self) -> list[_Chain]:
        """The chains, the oldest first."""
        return sorted(self._chains.values(), key=lambda chain: (chain.created_at, chain.first, chain.id))

    def _check_signatures(self, workers: Workers) -> None:
        signed: dict[str, list[signatures_.Signed]] = defaultdict(list)
        counts = signatures_.counts(self._file)
        for name in counts.keys() - self._chains.keys():
            words = f"There are {counts[name]:,} checkpoints of a chain that has no records: all of it is missing."
            self._findings.add("chain.missing", words, Place(shortened(name), table="checkpoints"))
        tasks = [
            (name, offset, tuple(self._chains[name].changes), self._structure.bundle)
            for name, number in sorted(counts.items())
            if name in self._chains
            for offset in range(0, number, signatures_.SOME)
        ]
        done = 0
        for (name, *_), seen in zip(tasks, workers.each(signatures_.look, tasks), strict=True):
            signed[name] += seen.signed
            self._findings.extend(seen.findings.told, seen.findings.counts)
            if seen.backwards:
                first = seen.backwards[0]
                self._notes.append(
                    f"The gateway's clock went backwards {len(seen.backwards)} times in chain {name}, first at checkpoint "
                    f"{first.number} ({first.at:%Y-%m-%d %H:%M:%S} UTC): its times are in doubt, the order of records is not."
                )
            done += signatures_.SOME
            self._progress(f"{min(done, sum(counts.values())):,} of {sum(counts.values()):,} signatures")
        for chain in self._chains.values():
            chain.checkpoints = counts.get(chain.id, 0)
            chain.signatures = signatures_.weigh(chain.id, chain.changes, signed[chain.id], self._findings)
        self._checked["checkpoints"] = sum(counts.values())

    def _check_chains(self) -> None:
        """That each chain begins as one does, goes on where it says, and is signed by whom it must be."""
        for chain in self._ordered():
            place = Place(chain.id, chain.first, table="records")
            numbers = [seq for seq, _ in chain.genesis]
            if not self._structure.bundle and numbers != [chain.first]:
                words = (
                    "It does not begin with a record of kind genesis."
                    if chain.first not in numbers
                    else "It begins twice."
                )
                self._findings.add("chain.genesis", words, place)
            for _, note in chain.genesis:
                if note.get("chain") != chain.id:
                    self._findings.add("chain.genesis", "Its first record is of another chain.", place)
                self._check_after(chain, note.get("after"))
            if not chain.signatures.last:
                self._findings.add("chain.unsigned", "No signature covers any record of this chain.", place)

    def _check_after(self, chain: _Chain, after: object) -> None:
        if not isinstance(after, dict):
            return
        why, name, seq, head = (after.get(key) for key in ("why", "chain", "seq", "head"))
        before = self._chains.get(name) if isinstance(name, str) else None
        if before is None:
            if name is not None and not self._structure.bundle:
                words = f"It goes on after chain {shortened(name)}, of which the file holds nothing."
                self._findings.add("chain.missing", words, Place(chain.id, chain.first))
            else:
                self._notes.append(f"Chain {chain.id} begins anew: {shortened(why, 300)}.")
            return
        self._notes.append(f"Chain {chain.id} goes on after record {seq} of chain {name}: {shortened(why, 300)}.")
        if isinstance(seq, int) and seq > before.last:
            words = (
                f"Chain {chain.id} says that this one had {seq:,} records, but it ends at record {before.last:,}: "
                f"what followed is lost or was cut off ({shortened(why, 200)})."
            )
            self._findings.add("chain.cut", words, Place(before.id, before.last, table="records"))
        elif isinstance(seq, int) and isinstance(head, str):
            link = self._file.rows(
                "SELECT link FROM file.main.records WHERE chain = ? AND seq = ? LIMIT 1", [name, seq]
            )
            if not link or link[0][0] is None or link[0][0].hex() != head:
                words = f"Chain {chain.id} goes on after another history of this one."
                self._findings.add("chain.broken", words, Place(before.id, seq, table="records"))

    def _check_bodies(self, workers: Workers, removals: Removals) -> None:
        if not self._structure.tables >= {"bodies", *NEEDED}:
            return
        taken = bodies_.compare(self._file, removals, self._findings)
        for chain, parts in taken.items():
            self._removed[chain] = {**self._removed.get(chain, {}), **parts}
        self._uncovered["bodies"] = bodies_.before_the_chain(self._file)
        number = size = 0
        for looked in workers.each(bodies_.look, ((task,) for task in bodies_.tasks(self._file))):
            number, size = number + looked.number, size + looked.size
            self._findings.extend(looked.findings.told, looked.findings.counts)
            self._progress(f"{number:,} bodies, {size / 2**20:,.0f} MiB")
        self._checked["bodies"] = number

    def _check_jobs(self, workers: Workers) -> None:
        if not self._structure.tables >= {"jobs", "read_sessions", "observations", "bodies", *NEEDED}:
            return
        joined_.check_alone(self._file, self._findings)
        flows = 0
        for joined in workers.each(joined_.join_again, ((group,) for group in joined_.groups(self._file))):
            flows += joined.flows
            self._checked["jobs"] = self._checked.get("jobs", 0) + joined.jobs
            self._checked["read_sessions"] = self._checked.get("read_sessions", 0) + joined.read_sessions
            self._findings.extend(joined.findings.told, joined.findings.counts)
            self._progress(f"{self._checked['jobs']:,} jobs joined again from {flows:,} exchanges")
        for table in ("jobs", "read_sessions"):
            self._uncovered[table] = joined_.before_the_chain(self._file, table)

    def _check_removals(self) -> Removals:
        lines = [chain.signatures.keys for chain in self._chains.values()]
        family = keys_.families(lines)

        def of(chain: str) -> set[str]:
            return {family[key] for key in self._chains[chain].signatures.keys} if chain in self._chains else set()

        def against(taking: Taking, target: str) -> str | None:
            if taking.seq > self._chains[taking.chain].signatures.signed_to:
                return "the event is not signed yet"
            if target in self._chains and not of(taking.chain) & of(target):
                return "the event is signed by another key than the chain"
            return None

        takings = [taking for chain in self._ordered() for taking in chain.takings]
        removals = removals_.read(self._file, takings, against, self._findings)
        absent = [each for chain in self._chains.values() for each in chain.absent]
        self._removed = dict(removals_.check_absent(absent, removals, self._findings, bundle=self._structure.bundle))
        if "observations" in self._structure.tables and not self._structure.bundle:
            removals_.check_observations(self._file, takings, self._findings)
        return removals

    def _held(self, planned: Mapping[str, Sequence[Span]]) -> Mapping[str, frozenset[int]]:
        """The intents that the fold says it holds back. A chain of a journal has its name, or one that begins with it."""
        if "journals" not in self._structure.tables:
            return {}
        held: dict[str, frozenset[int]] = {}
        without = {name for name in planned if not name.startswith(KEPT)}
        for journal, folded_to, waiting in self._file.rows(_JOURNALS):
            self._folded_to[journal] = folded_to
            mine = [name for name in planned if name == journal or name.startswith(f"{journal}.")]
            without.difference_update(mine)
            last = max((planned[name][-1].last for name in mine), default=None)
            if last is None and folded_to:
                self._journals_alone.append((shortened(journal), folded_to))
            if last is not None and folded_to != last and not self._structure.bundle:
                words = f"The archive says that this journal is folded up to record {folded_to}, but its records end at {last}."
                self._findings.add("journal.changed", words, Place(shortened(journal), last, table="journals"))
            held |= {name: frozenset(waiting or ()) for name in mine if waiting}
        if not self._structure.bundle:
            for name in sorted(without):
                words = "The archive does not say that it was folded from this chain's journal."
                self._findings.add("journal.changed", words, Place(shortened(name), table="journals"))
        if held:
            number = len(frozenset().union(*held.values()))
            self._notes.append(
                f"{number} statements wait for their answers: the gateway was working when the file was taken."
            )
        return held

    def _settle(self, settling: Settling) -> None:
        chains = self._ordered()
        ((flows, events, remarks),) = self._file.rows(_WITHOUT_RECORDS)
        uncovered = {"flows": flows, "events": events - remarks}
        if remarks:
            self._limit(
                "remarks",
                f"{remarks:,} events say what was noticed while the archive was written (recording.…), and are not signed yet: "
                "that needs a gateway that runs.",
            )
        before = self._began_with_more() or not chains
        if any(uncovered.values()) and not before:
            for table, number in uncovered.items():
                if number:
                    words = (
                        f"{number:,} rows of {table} name no record, but nothing was recorded before the first chain."
                    )
                    self._findings.add("row.extra", words, Place(table=table))
        if not before:
            for journal, folded_to in self._journals_alone:
                words = (
                    f"The archive says that {folded_to:,} records of a journal are folded, and it holds none of them."
                )
                self._findings.add("journal.changed", words, Place(journal, table="journals", row=journal))
        settling.settle(
            [chain.id for chain in chains],
            records_gone=any("record" in taken for taken in self._removed.values()),
            before=before,
        )
        if settling.loose:
            self._limit(
                "times",
                f"{settling.loose:,} times of sessions (sessions.last_seen_at, ended_at) come from records that were taken since.",
            )
        for table in sorted(NEEDED):
            rows = self._file.rows(f"SELECT count(*) FROM file.main.{table}")[0][0]  # noqa: S608 - a name of ours
            self._uncovered[table] = settling.uncovered if table == "sessions" else uncovered[table]
            self._checked[table] = rows - self._uncovered[table] - (remarks if table == "events" else 0)

    def _began_with_more(self) -> bool:
        """Whether a chain says that something had been recorded before it without one, or that the archive is an older one's."""
        afters = [note.get("after") for chain in self._chains.values() for _, note in chain.genesis]
        without = any(isinstance(after, dict) and after.get("chain") is None for after in afters)
        return without or any(chain.migrated for chain in self._chains.values())

    def _check_heads(self) -> None:
        if not self._heads:
            return
        publics = {
            change.key: Ed25519PublicKey.from_public_bytes(change.public)
            for chain in self._chains.values()
            for change in chain.changes
        }
        read = heads_.read(self._heads, self._findings)
        last = {chain.id: chain.last for chain in self._chains.values()}
        self._checked["heads"] = len(read)
        self._found_heads = heads_.compare(
            read, self._file, last, publics, self._findings, bundle=self._structure.bundle
        )

    def _report(self, chain: _Chain) -> ChainReport:
        last = chain.signatures.last
        return ChainReport(
            id=chain.id,
            origin=chain.origin,
            records=chain.records,
            withheld=chain.gone - self._removed.get(chain.id, {}).get("record", 0) if self._structure.bundle else 0,
            removed=dict(self._removed.get(chain.id, {})),
            first=chain.first,
            last=chain.last,
            begins=chain.begins,
            ends=chain.ends,
            checkpoints=chain.checkpoints,
            signed_to=chain.signatures.signed_to,
            signed_at=last.at if last else None,
            keys=chain.signatures.keys,
            proven_to=self._proven_to(chain) if self._given else None,
            heads=found.number if (found := self._found_heads.get(chain.id)) else 0,
        )

    def _proven_to(self, chain: _Chain) -> int:
        trusted = keys_.trusted(self._given, [each.signatures.keys for each in self._chains.values()])
        return max((seq for key, seq in chain.signatures.covered.items() if key in trusted), default=0)

    def _check_keys(self) -> None:
        """That the chains are the given keys' own."""
        chains = [chain for chain in self._ordered() if chain.origin != "import"]
        if not self._given:
            return
        if not chains:
            self._findings.add("key.foreign", "No chain is signed by the given key: the file has none at all.")
        for chain in chains:
            if not self._proven_to(chain):
                who = ", ".join(chain.signatures.keys) or "nobody"
                words = f"No given key signed this chain, nor one that descends from it. It is signed by {who}."
                self._findings.add("key.foreign", words, Place(chain.id, chain.first, table="checkpoints"))

    def _say_limits(self) -> None:
        """What was not proved."""
        chains = self._ordered()
        if not self._given:
            signers = ", ".join(sorted({key for chain in chains for key in chain.signatures.keys})) or "nobody"
            self._limit(
                "origin",
                "Consistent, origin unproven: no key was given, and whoever makes a file can sign it with a key of their own. "
                f"Give --key with the fingerprint that the gateway's owner tells you. This file is signed by {signers}.",
            )
        self._say_tails([chain for chain in chains if chain.origin != "import"])
        for chain in chains:
            if chain.origin == "import":
                self._limit(
                    "imported",
                    f"Chain {chain.id} was imported from another program's file: it is no evidence of this gateway.",
                )
        if self._structure.bundle:
            self._limit(
                "bundle",
                "This file holds one session alone. It cannot show that no record of that session was left out; the whole archive "
                "can. Jobs are told as this session's exchanges alone tell them.",
            )
            learnt = self._file.rows("SELECT count(*) FROM file.main.observations")[0][0]
            if learnt:
                self._limit(
                    "observations",
                    f"What had been learnt from {learnt:,} exchanges whose bodies were taken is signed for the whole archive only.",
                )
        if self._quick:
            self._limit(
                "quick",
                "--quick: the bodies were not read; jobs, read sessions and flows.job_key were not compared with the records; "
                "and not of all records it was seen that they can be read in one way only.",
            )
        self._say_what_is_newer()
        before = ", ".join(f"{number:,} {table}" for table, number in self._uncovered.items() if number)
        if before:
            self._limit("before", f"Nothing is said about what was recorded before there was a chain: {before}.")
        if not self._structure.tables >= NEEDED:
            self._limit("tables", "The tables that are not as they must be were not compared with the records.")

    def _say_what_is_newer(self) -> None:
        newer = newer_records(self._file.path, self._folded_to)
        if newer is None:
            words = "The journal beside the file cannot be read by this user: newer records may lie there."
            self._limit("journal", words)
        elif newer:
            words = (
                f"{newer:,} newer records lie in the journal beside the file and are not in it yet: they were not looked at. A "
                "gateway takes them in, and so does every command that shows something of a recording."
            )
            self._limit("journal", words)

    def _say_tails(self, chains: Sequence[_Chain]) -> None:
        if not self._heads and not self._structure.bundle:
            self._limit(
                "tail",
                "A cut tail would not be seen: the file cannot show that there was more behind its last record. Give --heads "
                "with the heads that were kept elsewhere.",
            )
        for chain in chains if self._heads and not self._structure.bundle else ():
            newest = self._found_heads.get(chain.id)
            if newest is None or newest.last < chain.last:
                where = f"behind record {newest.last:,}, the newest head's," if newest else "(no head is of it)"
                self._limit("tail", f"Had the tail of chain {chain.id} been cut off {where}, it would not be seen.")
        for chain in chains:
            unsigned = chain.last - max(chain.signatures.signed_to, chain.first - 1)
            if unsigned:
                since = f" since {chain.signatures.last.at:%Y-%m-%d %H:%M:%S} UTC" if chain.signatures.last else ""
                self._limit(
                    "unsigned",
                    f"The last {unsigned:,} records of chain {chain.id}, those{since}, are not signed yet: whoever can write to "
                    "the file can have changed them.",
                )

    def _limit(self, what: str, words: str) -> None:
        self._limits.append(Limit(what, words))


__all__ = ["Progress", "verify"]
