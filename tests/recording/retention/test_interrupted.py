"""Whatever ends it, the archive is the old one or the new one, whole; and the next time everything is done."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoop_mitm.archive.verify import verify
from hoop_mitm.recording.folder import Folder
from hoop_mitm.recording.layout import Layout
from tests.recording.retention.recorded import Recorded
from tests.recording.retention.searching import finds
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

_APPLIED = (sys.executable, "-m", "tests.recording.retention.applied")
_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def due(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A recordings directory of which something is due, and a text that is to go."""
    directory = tmp_path_factory.mktemp("due")
    recorded = Recorded(directory)
    job = recorded.job(age=50)
    for age in (40, 10):
        recorded.job("bob", age=age)
    recorded.fold()
    return directory, job.body


def copied(due: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(due, place))


def started(directory: Path, **options) -> subprocess.Popen[str]:
    return subprocess.Popen([*_APPLIED, directory, "30"], stdout=subprocess.PIPE, text=True, cwd=_ROOT, **options)


@contextlib.contextmanager
def killed_after(directory: Path, step: str, wait: float = 0.0) -> Iterator[None]:
    process = started(directory)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == step:
            time.sleep(wait)
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    yield


@pytest.fixture(scope="module")
def steps(due, tmp_path_factory) -> list[str]:
    """What is said on the way, when nothing happens."""
    directory = copied(due[0], tmp_path_factory.mktemp("steps") / "all")
    done = subprocess.run([*_APPLIED, directory, "30"], capture_output=True, text=True, check=True, cwd=_ROOT)
    return done.stdout.splitlines()


def test_killed_at_each_step_it_is_the_old_file_or_the_new_one(due, steps, tmp_path):
    directory, body = due
    old = (directory / "hoop.duckdb").read_bytes()
    assert {"Copying flows", "Copying records", "Putting it in its place"} <= set(steps)
    # Tables are copied one like the other.
    some = [
        step for step in steps[:-1] if not step.startswith("Copying") or step in {"Copying archive", "Copying records"}
    ]
    for step in some:
        place = copied(directory, tmp_path / "copy")
        with killed_after(place, step):
            assert verify(place / "hoop.duckdb").verified, step
            is_new = (place / "hoop.duckdb").read_bytes() != old
            assert bool([name for name in finds(place, body) if name.startswith("hoop.duckdb ")]) is not is_new, step
            assert is_new is False or step == "Putting it in its place"


@pytest.mark.parametrize(
    "step",
    [
        "Copying bodies",
        pytest.param("Joining jobs again", marks=pytest.mark.exhaustive),
        "Putting it in its place",
    ],
)
def test_the_next_time_all_of_it_is_done_and_nothing_is_left_over(due, steps, tmp_path, step):
    directory, body = due
    place = copied(directory, tmp_path / "copy")
    with killed_after(place, step, 0.01):
        subprocess.run([*_APPLIED, place, "30"], stdout=subprocess.DEVNULL, check=True, cwd=_ROOT)

    assert finds(place, body) == set()
    assert verify(place / "hoop.duckdb").verified
    assert sorted(path.name for path in place.iterdir()) == ["hoop.duckdb", "journal"]


@pytest.mark.exhaustive
def test_killed_around_the_moment_of_the_exchange(due, tmp_path):
    directory, body = due
    chance = random.Random(1)
    for _ in range(6):
        place = copied(directory, tmp_path / "copy")
        with killed_after(place, "Putting it in its place", chance.uniform(0, 0.06)):
            assert verify(place / "hoop.duckdb").verified
            left = finds(place, body)
            is_new = not any(name == "hoop.duckdb" or name.startswith("hoop.duckdb bodies") for name in left)
            # The archive is exchanged last: with it, all else is done.
            assert left == set() if is_new else left


def test_a_disk_that_fills_on_the_way_leaves_the_old_file(due, tmp_path):
    directory, body = due
    place = copied(directory, tmp_path / "copy")
    old = (place / "hoop.duckdb").read_bytes()
    limit = len(old) // 3
    limited = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); os.execv(sys.argv[1], sys.argv[1:])"

    done = subprocess.run(
        [sys.executable, "-c", limited, *_APPLIED, place, "30"],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
    )

    assert done.returncode != 0
    assert "cannot be copied" in done.stderr
    assert (place / "hoop.duckdb").read_bytes() == old
    assert sorted(path.name for path in place.iterdir()) == ["hoop.duckdb", "journal"]
    assert finds(place, body)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_touched(due, tmp_path):
    directory, _ = due
    script = f"""
        set -e
        mount -t tmpfs -o size=24m tmpfs {tmp_path}
        cp -r {directory}/. {tmp_path}
        sha256sum {tmp_path}/hoop.duckdb {tmp_path}/journal/*.sqlite > {tmp_path}/sums
        cd {_ROOT}
        {" ".join(_APPLIED)} {tmp_path} 30 || echo "exit $?"
        sha256sum --quiet -c {tmp_path}/sums && echo untouched
    """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("nothing may be mounted here")

    assert "exit 1" in done.stdout
    assert "untouched" in done.stdout
    assert "are free. Nothing was changed" in done.stderr
    assert "bytes in" in done.stderr


def test_what_is_left_over_goes_when_a_gateway_starts(due, steps, tmp_path):
    directory, _ = due
    place = copied(directory, tmp_path / "copy")
    with killed_after(place, "Copying records"):
        assert (place / "hoop.duckdb.fresh").is_dir()

    folder = Folder(Layout(place), 1.0)
    folder.start()
    try:
        until(lambda: not (place / "hoop.duckdb.fresh").exists())
    finally:
        folder.stop()
