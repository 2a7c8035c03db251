"""CPU time and memory of a process, as Linux counts them."""

import time
from pathlib import Path

_PROC = Path("/proc")


def supported() -> bool:
    """Whether this system tells what is asked here."""
    return (_PROC / "self" / "task").is_dir()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, in all of its threads, user and system, without its children."""
    # The process's own clock, as clock_getcpuclockid(3) names it: /proc counts in hundredths of a second only.
    return time.clock_gettime(~pid << 3 | 2)


def peak_memory(pid: int) -> int:
    """The largest resident set that a process has had, in bytes."""
    return _status(pid, "VmHWM")


def memory(pid: int) -> int:
    """Its resident set now, in bytes."""
    return _status(pid, "VmRSS")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def filesystem(path: Path) -> str:
    """The kind of file system that a path lies on, such as ``ext4``."""
    best = ("", "unknown")
    for line in (_PROC / "mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if path.absolute().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def _status(pid: int, name: str) -> int:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc says no {name} of process {pid}")
