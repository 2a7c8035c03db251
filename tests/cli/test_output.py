import os
import stat
import threading
from contextlib import suppress

import pytest

from hoop_mitm.cli.output import writing
from hoop_mitm.errors import ArchiveError


def test_a_file_is_its_owners_only_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "out"
    path.write_text("before")
    with writing(path) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there_and_no_litter(tmp_path):
    path = tmp_path / "out"
    path.write_text("before")
    with suppress(RuntimeError), writing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert (path.read_text(), list(tmp_path.iterdir())) == ("before", [path])


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with writing(pipe) as file:
        file.write(b"through")
    reader.join(60)
    assert read == [b"through"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["missing/out", "directory"])
def test_a_place_that_cannot_be_written_is_said(tmp_path, name):
    (tmp_path / "directory").mkdir()
    with pytest.raises(ArchiveError, match="cannot be written"), writing(tmp_path / name) as file:
        file.write(b"x")


@pytest.mark.parametrize("path", [None, "-"])
def test_standard_output_gets_everything_at_the_end(capfdbinary, path, tmp_path):
    with writing(path) as file:
        file.write(b"\x00\xff" * 10)
        assert capfdbinary.readouterr().out == b""
    assert capfdbinary.readouterr().out == b"\x00\xff" * 10
