"""Commands run as another user of this machine, where the tests' own may become one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, GROUP = 65534, 54321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

# The other user may not be allowed to read where the packages lie: everything is imported, by doing it once, before.
_SCRIPT = """
import contextlib, io, os, sys
from click.testing import CliRunner
import hoop_mitm.recording.looks
from hoop_mitm.cli import main
from hoop_mitm.cli.options import _login

command, (warm, db), groups = sys.argv[3:], sys.argv[1:3], [int(g) for g in os.environ["GROUPS_OF_OTHER"].split()]
_login()
CliRunner().invoke(main, [*command, "--db", warm])
os.setgroups(groups)
os.setgid({user})
os.setuid({user})
main([*command, "--db", db])
"""


@contextmanager
def place() -> Iterator[Path]:
    """A directory that other users can get to."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def run(
    warm: Path, db: Path, *command: str, groups: Sequence[int] = (GROUP,), home: str = "/nonexistent"
) -> subprocess.CompletedProcess[str]:
    """``hoop-mitm COMMAND --db DB`` as another user, a member of ``groups``; ``warm`` is a recording of one's own."""
    environment = {**os.environ, "HOME": home, "COLUMNS": "200", "GROUPS_OF_OTHER": " ".join(map(str, groups))}
    script = _SCRIPT.format(user=USER)
    return subprocess.run(
        [sys.executable, "-c", script, str(warm), str(db), *command],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )


def attempt(*expressions: str, groups: Sequence[int] = (GROUP,)) -> list[str]:
    """What each expression raises as another user; ``-`` where it works."""
    script = (
        f"import os, sys\nos.setgroups({list(groups)})\nos.setgid({USER})\nos.setuid({USER})\n"
        "for expression in sys.argv[1:]:\n"
        "    try: eval(expression)\n"
        "    except Exception as error: print(type(error).__name__)\n"
        "    else: print('-')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *expressions], capture_output=True, text=True, check=True)
    return done.stdout.split()
