"""Who came to the local BigQuery, and what they are to meet there: waits and faults, on purpose."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hoop_mitm.devkit.google import Grant

_REMEMBERED_REQUESTS = 20_000


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request that reached the local BigQuery, let in or not.

    Attributes:
        who: the subject of its access token; ``None`` if it had none that counts.
        operation: REST method and path, or the gRPC method, in one line.
    """

    protocol: Literal["rest", "grpc"]
    method: str
    host: str
    path: str
    who: str | None
    at: float
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def operation(self) -> str:
        return f"{self.method} {self.path}" if self.protocol == "rest" else self.path


@dataclass(frozen=True, slots=True)
class Fault:
    status: int
    reason: str
    message: str


class Visitors:
    """Who came to the front, and what they are to meet there. REST and gRPC share one."""

    def __init__(self, grant: Callable[[str | None], Grant | None]) -> None:
        self._grant = grant
        self._lock = threading.Lock()
        self._seen: deque[SeenRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        self._faults: deque[Fault] = deque()
        self._hold_before = self._hold_after = 0.0

    def who(self, token: str | None) -> str | None:
        grant = self._grant(token)
        return grant.subject if grant else None

    def remember(self, request: SeenRequest) -> None:
        self._seen.append(request)

    def requests(self) -> list[SeenRequest]:
        return list(self._seen)

    def forget(self) -> None:
        self._seen.clear()

    def hold(self, seconds: float, *, answered: bool = False) -> None:
        self._hold_before, self._hold_after = (0.0, seconds) if answered else (seconds, 0.0)

    def fail_next(self, status: int, reason: str, message: str, times: int) -> None:
        with self._lock:
            self._faults.extend([Fault(status, reason, message)] * times)

    def wait_before(self) -> None:
        _sleep_while(lambda: self._hold_before)

    def wait_after(self) -> None:
        _sleep_while(lambda: self._hold_after)

    def fault(self) -> Fault | None:
        with self._lock:
            return self._faults.popleft() if self._faults else None


def _sleep_while(seconds: Callable[[], float]) -> None:
    # In short steps, so that `hold(0)` lets go of requests that wait already.
    started = time.monotonic()
    while time.monotonic() - started < seconds():
        time.sleep(0.02)
