"""The recorder: what it has acknowledged is in the recording, whatever happens next.

Two threads work for it. The *press* takes streamed and large bodies, piece by piece; the *writer* prepares everything
else and commits to the journal, everything that waits in one go. The event loop only waits.

All traffic hangs on these threads, and what they work on was made by others: whatever fails there fails one record.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson
from uuid_utils import uuid7

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.errors import HoopError, RecordingError
from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.recording.decoding import codings
from hoop_mitm.recording.encoding import BodyNote
from hoop_mitm.recording.folder import Folder
from hoop_mitm.recording.heads import Heads
from hoop_mitm.recording.journal import BodyFile, Entry, Journal, claims, reason
from hoop_mitm.recording.layout import Hold, Identity, Layout, replace_durably
from hoop_mitm.recording.logging_filter import described
from hoop_mitm.recording.owners import Claim, Owner, Owners
from hoop_mitm.recording.preparing import SIDES, is_kept, message_of, prepare
from hoop_mitm.recording.pressing import Press
from hoop_mitm.recording.records import EventRecord, FlowRecord, Level, Record
from hoop_mitm.recording.redaction import Redactor
from hoop_mitm.recording.remarks import left
from hoop_mitm.recording.sinks import sinks
from hoop_mitm.recording.spool import Pressing, Spool

if TYPE_CHECKING:
    # Not needed to run, and the configuration's parser is slow to import.
    from hoop_mitm.config.model import Recording, Upstream

log = logging.getLogger(__name__)

#: Bodies above this many bytes go through the press, so that small records do not wait for them.
_LARGE = 512 * 2**10
_MOST_IN_ONE_COMMIT = 512
_MOST_BYTES_IN_ONE_COMMIT = 8 * 2**20
_TICK = 1.0
#: How old, in seconds, a record may be before a checkpoint covers it.
MINUTE = 60.0
#: How long a segment is written to at least, in seconds, unless it is full before.
LEAST_SEGMENT = 3600.0
_LOCK_WAIT = 2.0
_PAUSE_AFTER_DEATH = 0.1


@dataclass(slots=True, eq=False)
class _Request:
    records: Sequence[Record]
    owns: Mapping[Resource, Owner]
    done: Callable[[RecordingError | None], None]
    entries: list[Entry] | None = None
    spools: list[str] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class _Progress:
    spool: str
    size: int


@dataclass(slots=True)
class _Orphan:
    spool: str


class _Stop:
    pass


class Recorder:
    """Writes records durably and remembers who owns what. One per recordings directory, in one process.

    ``redactor`` may be told secrets at any time, also before :meth:`start`.
    """

    def __init__(
        self,
        config: "Recording",
        redactor: Redactor | None = None,
        *,
        state: Path | None = None,
        upstream: "Upstream | None" = None,
    ) -> None:
        """Nothing is written before :meth:`start`.

        Args:
            state: the directory of the keys that sign. Without one a key is made that lies with the journal. Whoever
                has the recording could then forge it: that is for tests and tools.
            upstream: how the outside is reached, for sinks.

        Raises:
            ConfigError: a key in ``state`` is damaged, or somebody else could have read or planted it.
        """
        self.redactor = redactor or Redactor()
        self._config = config
        self._layout = Layout(config.directory.absolute())
        self._state = state or self._layout.journal / "keys"
        self._keys = RecordingKeys.load_or_create(self._state) if state else None
        self._journal: Journal
        self._heads = Heads(self._layout, sinks(config.heads, upstream), self._report)
        self._signed_at = 0.0
        self._remarked: set[str] = set()
        self._keys_at = 0
        self._keys_complaint = ""
        self._hold = Hold(self._layout.lock)
        keep = config.journal_keep.total_seconds()
        self._folder = Folder(self._layout, config.fold_interval.total_seconds(), keep)
        #: How long one segment is written to at most, so that what is in it can be let go.
        self._segment_age = max(keep, LEAST_SEGMENT)
        self._segment_since = 0.0
        self._owners = Owners(now=time.time())
        self._identity = Identity("", b"")
        self._run = 0
        #: ``None`` for a stream that is not kept.
        self._pressings: dict[str, Pressing | None] = {}
        self._pressed = 0
        self._to_press: queue.SimpleQueue[_Request | _Progress | _Orphan | _Stop] = queue.SimpleQueue()
        self._to_write: queue.SimpleQueue[_Request | _Stop] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._failure: RecordingError | None = None
        self._running = False

    @property
    def healthy(self) -> bool:
        """Whether records could be written the last time it was tried. While not, it is tried every second."""
        return self._running and self._failure is None and self._at_work()

    def _at_work(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    async def start(self) -> None:
        """Take the directory, take up what the last gateway left, start the threads and the fold.

        Raises:
            RecordingError: the directory cannot be written, or another gateway records into it.
        """
        await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """Write what is waiting, fold what can be folded, and let the directory go."""
        await asyncio.to_thread(self._stop)

    async def write(self, *records: Record, owns: Mapping[Resource, Owner] | None = None) -> None:
        """Return when ``records`` and the claims of ``owns`` are durable: all of them, or none.

        A claim on what somebody else owns already changes nothing.

        Raises:
            RecordingError: they may not be taken as written; what they are about must not go on.
        """
        if not self._running:
            raise RecordingError("The recorder is not running; nothing may pass.")
        if not self._at_work():
            raise RecordingError("The recorder has stopped working; nothing may pass until the gateway is restarted.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def settle(error: RecordingError | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

        def done(error: RecordingError | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, error)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                log.debug("a record was settled after its loop had ended")

        request = _Request(records, dict(owns or {}), done)
        flows = [record for record in records if isinstance(record, FlowRecord)]
        messages = [message_of(flow, side) for flow in flows for side in SIDES]
        request.spools = [message.spool for message in messages if message.spool]
        request.size = sum(len(message.body) for message in messages if message.body)
        if request.spools or request.size > _LARGE:
            self._to_press.put(request)
        else:
            self._to_write.put(request)
        if not self._running:
            # It was stopped in between, and perhaps nobody reads the queues any more.
            self._refuse_leftovers()
        await future

    def spool(
        self,
        flow_id: str,
        side: Literal["request", "response"],
        headers: Sequence[tuple[str, str]] = (),
        *,
        kept: bool = True,
    ) -> Spool:
        """A place for the body of a streamed message; the flow's record then names its ``id``.

        Args:
            headers: the message's, so that a content encoding is taken off as the body comes.
            kept: whether bodies are recorded at the flow's level; else this only counts.

        Raises:
            RecordingError: there cannot be one; the message must not go on.
        """
        if not self._running:
            raise RecordingError("The recorder is not running; nothing may pass.")
        name = f"{flow_id}.{side}"
        if not flow_id or "/" in flow_id:
            raise RecordingError(f"A flow cannot be called {flow_id!r}.")
        spool = Spool(
            self._layout.spool / name, lambda name, size: self._to_press.put(_Progress(name, size)), kept=kept
        )
        self._pressings[name] = self._pressing(name, codings(headers)) if kept else None
        return spool

    async def note_levels(self, levels: Mapping[str, Level]) -> None:
        """Record where a connection's level of recording is another than when this was last called, in whatever run.

        Raises:
            RecordingError: as for :meth:`write`.
        """
        before = await asyncio.to_thread(self._layout.noted_levels)
        changed = [(name, before[name], level) for name, level in levels.items() if before.get(name, level) != level]
        await self.write(*(_level_changed(*change) for change in changed))
        try:
            # One that is left out for a while is not forgotten.
            await asyncio.to_thread(replace_durably, self._layout.levels, orjson.dumps({**before, **levels}))
        except OSError as error:
            raise RecordingError(f"{self._layout.levels} cannot be written ({reason(error)}).") from error

    def owner(self, resource: Resource) -> Owner | None:
        """Who made ``resource``, as far as remembered: at least seven days back, up to a million resources."""
        return self._owners.get(self._safe(resource))

    def _safe(self, resource: Resource) -> Resource:
        """Upload ids are authority in themselves: not even the list of owners holds them."""
        return Resource(resource.kind, self.redactor.handle(resource.id)) if resource.kind == "upload" else resource

    # Starting and stopping, on a thread of asyncio's.

    def _start(self) -> None:
        self._layout.make()
        try:
            taken = self._hold.take(wait=_LOCK_WAIT)
        except OSError as error:
            raise RecordingError(f"{self._layout.lock} cannot be written ({reason(error)}).") from error
        if not taken:
            raise RecordingError(
                f"Another gateway (process {self._hold.holder() or 'unknown'}) records into {self._layout.directory}. Stop "
                "it, or give this one a `recording.directory` of its own."
            )
        try:
            self._identity = self._layout.identity()
            self.redactor.use_handle_key(self._identity.key)
            self._owners = Owners(claims(self._layout), now=time.time())
            orphans = sorted(path.name for path in self._layout.spool.iterdir())
            keys = self._keys or RecordingKeys.load_or_create(self._state)
            journal = self._journal = Journal(self._layout, keys, self._heads.offer)
        except BaseException:
            self._hold.release()
            raise
        try:
            self._run = journal.open()
            self._segment_since = time.monotonic()
            journal.append([Entry("start", {"run": self._run})])
            # Also what a crash left unsigned.
            journal.sign("start")
            self._signed_at = time.monotonic()
            self._heads.start()
            self._folder.start()
        except BaseException:
            self._heads.stop()
            journal.close()
            self._hold.release()
            raise
        log.info("Records are signed with the key %s.", journal.key.fingerprint)
        for name in orphans:
            self._to_press.put(_Orphan(name))
        self._failure = None
        self._running = True
        self._threads = [
            threading.Thread(target=self._live, args=(self._press_all,), name="hoop-press", daemon=True),
            threading.Thread(target=self._live, args=(self._write_all,), name="hoop-writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _stop(self) -> None:
        if not self._running:
            return
        self._running = False
        self._to_press.put(_Stop())
        for thread in self._threads:
            thread.join()
        self._refuse_leftovers()
        try:
            if self._journal.unsigned:
                self._journal.sign("close")
        except RecordingError as error:
            # The next start signs it.
            log.error("%s", error)  # noqa: TRY400
        self._journal.close()
        self._heads.stop()
        self._folder.stop()
        self._hold.release()

    def _refuse_leftovers(self) -> None:
        for waiting in (self._to_press, self._to_write):
            with contextlib.suppress(queue.Empty):
                while True:
                    item = waiting.get_nowait()
                    if isinstance(item, _Request):
                        item.done(RecordingError("The recorder has stopped; this was not recorded."))
                    elif isinstance(item, _Stop):
                        waiting.put(item)
                        break

    def _live(self, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - without this thread nothing passes the gateway
                log.critical("%s begins anew: %s", threading.current_thread().name, described(error))
                time.sleep(_PAUSE_AFTER_DEATH)
            else:
                return

    # The press's thread.

    def _press_all(self) -> None:
        while not isinstance(item := self._to_press.get(), _Stop):
            try:
                self._press_one(item)
            except Exception as error:  # noqa: BLE001 - it fails alone
                log.error("a body cannot be pressed: %s", described(error))  # noqa: TRY400
                if isinstance(item, _Request):
                    item.done(_unrecordable(error))
            except BaseException as error:
                if isinstance(item, _Request):
                    item.done(_unrecordable(error))
                raise
        self._to_write.put(item)

    def _press_one(self, item: _Request | _Progress | _Orphan) -> None:
        match item:
            case _Progress(spool, size):
                if pressing := self._pressings.get(spool):
                    pressing.advance(size)
            case _Orphan(spool):
                self._salvage(spool)
            case request:
                if self._prepared(request):
                    self._to_write.put(request)

    def _pressing(self, spool: str, names: Sequence[str] = ()) -> Pressing:
        self._pressed += 1

        def make(these: Sequence[str]) -> Press:
            return Press(self.redactor, self._identity.key, these)

        # Named by the run, so that what a dead gateway left unfinished can be told from what is still needed.
        target = f"{self._run:016d}-{self._pressed}-{spool}"
        return Pressing(self._layout, spool, target, make, names)

    def _salvage(self, spool: str) -> None:
        """What a dead gateway spooled becomes the truncated body of the flow that it left open."""
        flow_id, _, side = spool.rpartition(".")
        source = self._layout.spool / spool
        try:
            broken_at = source.stat().st_mtime
            pressing = self._pressing(spool)
            found = pressing.finish()
        except OSError as error:
            log.error("the unfinished recording %s cannot be taken up: %s", source, reason(error))  # noqa: TRY400
            return
        note, file = found or (None, None)
        salvage = {"flow_id": flow_id, "side": side, "size": pressing.wire_size, "at": broken_at, "body": note}

        def done(error: RecordingError | None) -> None:
            if error:
                log.error("the unfinished recording %s cannot be taken up: %s", source, error)

        request = _Request((), {}, done, [Entry("salvage", salvage, files={side: file} if file else {})], [spool])
        self._to_write.put(request)

    # The writer's thread.

    def _write_all(self) -> None:
        stopping = False
        next_tick = time.monotonic() + _TICK
        while not stopping:
            batch: list[_Request] = []
            try:
                stopping = self._gather(batch)
                if batch:
                    self._commit(batch)
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK
                    self._tick()
            except Exception as error:  # noqa: BLE001 - it fails alone
                log.error("the recorder goes on after an error: %s", described(error))  # noqa: TRY400
                _refuse(batch, error)
            except BaseException as error:
                _refuse(batch, error)
                raise

    def _gather(self, batch: list[_Request]) -> bool:
        """Prepare what waits and put it into ``batch``; whether it is time to stop."""
        size = 0
        while len(batch) < _MOST_IN_ONE_COMMIT and size < _MOST_BYTES_IN_ONE_COMMIT:
            try:
                item = self._to_write.get(timeout=_TICK) if not batch else self._to_write.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, _Stop):
                return True
            batch.append(item)
            if item.entries is not None or self._prepared(item):
                size += item.size
            else:
                batch.pop()
        return False

    def _tick(self) -> None:
        try:
            if self._failure is not None:
                self._journal.append([Entry("probe", {})])
                self._recovered()
            self._begin_segment_when_asked()
            self._take_up_remarks()
            self._take_up_keys()
            if self._journal.unsigned and time.monotonic() - self._signed_at >= MINUTE:
                self._sign("minute")
        except RecordingError as error:
            self._failed(error)
        self._folder.keep_running(self._journal.last)

    def _begin_segment_when_asked(self) -> None:
        asked = self._layout.rotate.exists()
        if asked or time.monotonic() - self._segment_since >= self._segment_age:
            self._journal.open()
            self._segment_since = time.monotonic()
        if asked:
            # By who must know that nothing more is written to a segment.
            self._layout.rotate.unlink(missing_ok=True)

    def _take_up_remarks(self) -> None:
        """Record what the fold noticed."""
        for path, event in left(self._layout):
            if event.id not in self._remarked:
                self._journal.append([prepare(event, self.redactor, self._identity.key)])
                self._remarked.add(event.id)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _take_up_keys(self) -> None:
        """Sign with a key that was added meanwhile."""
        try:
            changed = self._state.stat().st_mtime_ns
            if changed == self._keys_at:
                return
            keys = RecordingKeys.load(self._state)
        except (OSError, HoopError) as error:
            if str(error) != self._keys_complaint:
                self._keys_complaint = str(error)
                log.error("the recording keys cannot be read, the last one goes on signing: %s", error)  # noqa: TRY400
            return
        if self._journal.use(keys):
            log.info("Records are signed with the key %s from now on.", self._journal.key.fingerprint)
        self._keys_at, self._keys_complaint = changed, ""

    def _sign_when_many(self) -> None:
        if self._journal.unsigned >= self._config.checkpoint_every:
            try:
                self._sign("records")
            except RecordingError as error:
                self._failed(error)

    def _sign(self, reason: str) -> None:
        self._journal.sign(reason)
        self._signed_at = time.monotonic()

    def _failed(self, error: RecordingError) -> None:
        if self._failure is None:
            log.error("%s", error)
        self._failure = error

    def _report(self, type_: str, message: str, details: dict[str, object]) -> None:
        """An event of the recorder's own, from whatever thread; nobody waits for it."""

        def done(error: RecordingError | None) -> None:
            if error:
                log.error("an event (%s) is not recorded: %s", type_, error)

        event = EventRecord(str(uuid7()), datetime.now(UTC), type_, message, details=details)
        self._to_write.put(_Request([event], {}, done))

    def _commit(self, batch: Sequence[_Request]) -> None:
        """Settle a batch: commit all of it, or, when one of it cannot be written, each for itself."""
        try:
            self._append(batch)
        except RecordingError as error:
            self._failed(error)
            for request in batch:
                request.done(error)
        except Exception as error:  # noqa: BLE001 - it fails alone
            if len(batch) > 1:
                for request in batch:
                    self._commit([request])
                return
            log.error("a record cannot be written: %s", described(error))  # noqa: TRY400
            _refuse(batch, error)
        else:
            self._recovered()
            for request in batch:
                for spool in request.spools:
                    self._forget(spool)
                request.done(None)
            self._sign_when_many()

    def _append(self, batch: Sequence[_Request]) -> None:
        now = time.time()
        new: dict[Resource, Claim] = {}
        for request in batch:
            owns = {self._safe(resource): owner for resource, owner in request.owns.items()}
            for claim in self._owners.new(owns, now):
                new.setdefault(claim.resource, claim)
        entries = [entry for request in batch for entry in request.entries or ()]
        if entries or new:
            self._journal.append(entries, new.values())
        self._owners.add(new.values())

    def _recovered(self) -> None:
        if self._failure is not None:
            log.warning("the journal can be written again")
        self._failure = None

    def _forget(self, spool: str) -> None:
        self._pressings.pop(spool, None)
        try:
            (self._layout.spool / spool).unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            # The next start takes it for an orphan; its flow has an outcome, so nothing comes of it.
            log.warning("%s cannot be removed: %s", self._layout.spool / spool, reason(error))

    # Both threads.

    def _prepared(self, request: _Request) -> bool:
        """Prepare a request's entries; one that cannot be prepared fails alone."""
        try:
            request.entries = [
                prepare(record, self.redactor, self._identity.key, self._spooled(record))
                for record in request.records
                if is_kept(record)
            ]
        except OSError as error:
            request.done(RecordingError(f"A body cannot be kept in {self._layout.bodies} ({reason(error)})."))
        except HoopError as error:
            request.done(RecordingError(str(error)))
        except Exception as error:  # noqa: BLE001 - it fails alone
            log.error("a record cannot be prepared: %s", described(error))  # noqa: TRY400
            request.done(_unrecordable(error))
        else:
            return True
        return False

    def _spooled(self, record: Record) -> dict[str, tuple[BodyNote, BodyFile] | None]:
        found: dict[str, tuple[BodyNote, BodyFile] | None] = {}
        if not isinstance(record, FlowRecord):
            return found
        for side in SIDES:
            message = message_of(record, side)
            if not message.spool:
                continue
            if message.spool not in self._pressings:
                raise RecordingError(f"There is no spool {message.spool}; was it recorded already?")
            pressing = self._pressings[message.spool]
            if record.level == "full":
                if pressing is None:
                    raise RecordingError(f"The spool {message.spool} was not kept, and must be recorded.")
                found[side] = pressing.finish(codings(message.headers))
            elif pressing is not None:
                pressing.discard()
        return found


def _level_changed(connection: str, old: str, new: str) -> EventRecord:
    return EventRecord(
        str(uuid7()),
        datetime.now(UTC),
        "recording.level_changed",
        f"What goes through the connection {connection} is recorded at the level {new} from now on, and was at {old}.",
        details={"connection": connection, "old": old, "new": new},
    )


def _unrecordable(error: BaseException) -> RecordingError:
    return RecordingError(
        f"This cannot be recorded ({type(error).__name__}), so it may not pass. The gateway's log says more."
    )


def _refuse(batch: Sequence[_Request], error: BaseException) -> None:
    """Refuse what is not settled yet; being told twice changes nothing."""
    for request in batch:
        request.done(_unrecordable(error))
