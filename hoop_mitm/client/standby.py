"""``python -m hoop_mitm.client.standby CONFIG USERS SECONDS``: a gateway that ends when nobody has used it for a while.

Whoever needs it holds a shared lock on the file USERS. When nobody does, and no client is connected, for SECONDS on
end, it stops as by ``kill``; while it does, it holds the lock alone, so that a newcomer waits and starts another.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from hoop_mitm.errors import HoopError

_LOOK_SECONDS = 1.0


def main(config: Path, users: Path, linger: float) -> int:
    """Run the gateway of ``config``; its exit code. ``linger`` is in seconds."""
    from hoop_mitm.config import load
    from hoop_mitm.gateway import run

    port = load(config).gateway.address[1]
    threading.Thread(target=_end_when_idle, args=(users, port, linger), name="standby", daemon=True).start()
    return run(["--set", f"hoop_config={config}"])


def _end_when_idle(users: Path, port: int, linger: float) -> None:
    used = time.monotonic()
    with users.open("a") as lock:
        while True:
            time.sleep(min(_LOOK_SECONDS, linger / 4))
            if not _alone(lock.fileno()) or _has_clients(port):
                used = time.monotonic()
            elif time.monotonic() - used >= linger:
                os.kill(os.getpid(), signal.SIGTERM)
                threading.Event().wait()  # With the lock, until the process has ended.
            fcntl.flock(lock, fcntl.LOCK_UN)


def _alone(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _has_clients(port: int) -> bool:
    try:
        connections = psutil.Process().net_connections("tcp")
    except (psutil.Error, OSError):
        # A moment without file descriptors, say. Who cannot be seen is not cut off.
        return True
    return any(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port for each in connections)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
    except HoopError as error:
        print(f"hoop-mitm: {error}", file=sys.stderr)  # noqa: T201 - into its log
        sys.exit(error.exit_code)
