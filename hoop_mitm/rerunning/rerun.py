"""The jobs of a plan: first what they would cost, then run, side by side as they were or one after the other."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hoop_mitm.errors import HoopError
from hoop_mitm.rerunning.asking import Asking, Refused
from hoop_mitm.rerunning.plan import Step
from hoop_mitm.serving.question import Json
from hoop_mitm.serving.story import renamed

LABEL = "rerun-of"
"""Label of the jobs of a rerun: the id of the session that they are of."""

_AT_ONCE = 16


class TooMuch(HoopError):
    """It would read more than it may."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """What BigQuery says of a step before it runs.

    Attributes:
        bytes: it would process; ``None`` where BigQuery refuses it.
        recorded: it had processed.
        new: what is not as it was recorded: words, or BigQuery's error.
    """

    step: Step
    bytes: int | None
    recorded: int | None
    new: str = ""


class Rerun:
    """Asks a plan's steps again.

    Args:
        steps: in their order.
        label: the recorded session's id, which each job is labelled with.
    """

    def __init__(self, steps: Sequence[Step], label: str) -> None:
        self._steps = steps
        self._label = label
        self._sessions: dict[str, str] = {}
        self._lock = threading.Lock()
        self._billed = 0

    def estimate(self, asking: Asking, progress: Callable[[int], None] = lambda _: None) -> tuple[Estimate, ...]:
        """What each step would cost, by dry runs."""
        found = []
        for number, step in enumerate(self._steps):
            progress(number)
            found.append(self._estimate(asking, step))
        return tuple(found)

    def run(
        self,
        asking: Asking,
        *,
        serial: bool = False,
        max_bytes: int | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Runs all steps; what BigQuery refuses is recorded as that, and the others go on.

        Args:
            asking: in the session that the rerun is to be.
            serial: one after the other; else a job begins when those have ended that had ended before it.
            max_bytes: what all of them may be billed. Each job is capped by what is left.
            progress: is told how many have ended.

        Raises:
            TooMuch: ``max_bytes`` is reached before the last of them.
        """
        done = 0

        def ended(_: Future[None]) -> None:
            nonlocal done
            with self._lock:
                done += 1
            progress(done)

        with ThreadPoolExecutor(1 if serial or max_bytes is not None else _AT_ONCE, "rerun") as pool:
            running: list[tuple[Step, Future[None]]] = []
            for step in self._steps:
                for before, future in running:
                    if _ended_before(before, step):
                        future.exception()
                future = pool.submit(self._run, asking, step, max_bytes)
                future.add_done_callback(ended)
                running.append((step, future))
            for _, future in running:
                future.result()

    def _estimate(self, asking: Asking, step: Step) -> Estimate:
        recorded = step.ask.job.bytes_processed if step.ask.job else None
        if step.ask.question.kind != "query":
            return Estimate(step, 0, recorded)
        try:
            said = asking.insert(step.project, step.location, _dry(self._configured(step)))
        except Refused as error:
            return Estimate(step, None, recorded, error.message)
        statistics = said.get("statistics", {})
        query = statistics.get("query", {})
        size = int(query.get("totalBytesProcessed") or statistics.get("totalBytesProcessed") or 0)
        return Estimate(step, size, recorded, _new(step, query))

    def _run(self, asking: Asking, step: Step, max_bytes: int | None) -> None:
        configuration = self._configured(step)
        if max_bytes is not None and "query" in configuration:
            with self._lock:
                left = max_bytes - self._billed
            if left <= 0:
                raise TooMuch(f"The jobs so far were billed {self._billed:,} bytes, and --max-bytes is {max_bytes:,}.")
            own = int(configuration["query"].get("maximumBytesBilled") or left)
            configuration["query"] = {**configuration["query"], "maximumBytesBilled": str(min(own, left))}
        try:
            job = asking.insert(step.project, step.location, configuration)
            if step.dry_run:
                return
            if "query" in configuration:
                asking.read(job)
            self._note(step, asking.wait(job))
        except Refused:
            return  # It is recorded as what it is, and the diff names it.

    def _note(self, step: Step, job: Json) -> None:
        statistics: Json = job.get("statistics") or {}
        with self._lock:
            self._billed += int((statistics.get("query") or {}).get("totalBytesBilled") or 0)
            session = (statistics.get("sessionInfo") or {}).get("sessionId")
            if step.bq_session and session:
                self._sessions[step.bq_session] = str(session)

    def _configured(self, step: Step) -> Json:
        with self._lock:
            found: Json = renamed(json.loads(json.dumps(step.configuration)), dict(self._sessions))
        found["labels"] = {**found.get("labels", {}), LABEL: self._label}
        return found


def _dry(configuration: Json) -> Json:
    """As a dry run, without the session of BigQuery that is not there yet."""
    query = {name: value for name, value in configuration["query"].items() if name != "createSession"}
    properties = [each for each in query.pop("connectionProperties", ()) if each.get("key") != "session_id"]
    if properties:
        query["connectionProperties"] = properties
    return {**configuration, "query": query, "dryRun": True}


def _ended_before(one: Step, other: Step) -> bool:
    first, second = one.ask, other.ask
    ended = (first.job.ended_at if first.job else None) or first.flow.ended_at
    began = second.job.started_at if second.job else second.flow.started_at
    # What never ended as far as anybody knows is waited for.
    return ended is None or ended <= began


def _new(step: Step, query: Any) -> str:
    from hoop_mitm.bigquery.rows import schema_fields

    job = step.ask.job
    now = schema_fields(query.get("schema"))
    if job is not None and job.schema and now and now != job.schema:
        return "its columns are not those that were recorded"
    return ""
