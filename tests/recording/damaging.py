"""Files as disks and killed programs leave them."""

import signal
import subprocess
import sys
from pathlib import Path


def flip(path: Path, at: int) -> None:
    """Change one byte."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))


def leave_log(archive: Path) -> Path:
    """The log of a writer that was killed."""
    script = (
        "import duckdb, os, signal\n"
        f"c = duckdb.connect({str(archive)!r})\n"
        "c.execute(\"INSERT INTO observations SELECT 'x', range, repeat('y', 1000) FROM range(2000)\")\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    return archive.with_name(f"{archive.name}.wal")
