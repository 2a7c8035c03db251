"""A settings file that cannot be used is refused in words, and nothing is written."""

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hoop_mitm.errors import ConfigError
from hoop_mitm.setup import SettingsFile


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_a_link_is_refused_and_where_it_leads_is_named(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text("{}")
    (tmp_path / "mcp.json").symlink_to(tmp_path / "dotfiles")
    with pytest.raises(ConfigError, match=f"a link to {tmp_path}/dotfiles.*--file {tmp_path}/dotfiles"):
        SettingsFile.read(tmp_path / "mcp.json")
    assert (tmp_path / "mcp.json").is_symlink()


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no settings file"):
        SettingsFile.read(tmp_path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a": }', "line 1, column 7: a value is missing here. Nothing was written"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"\x00", "line 1, column 1"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "mcp.json").write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        SettingsFile.read(tmp_path / "mcp.json").text  # noqa: B018


@pytest.mark.parametrize("data", [None, b"", b"\n", b"\xef\xbb\xbf\r\n"])
def test_nothing_is_an_empty_object(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "mcp.json").write_bytes(data)
    assert SettingsFile.read(tmp_path / "mcp.json").text == "{}\n"


def as_somebody_else(path: Path) -> str:
    """What reading says to a user who is not root: root may write everywhere."""
    script = """
import os, sys
from pathlib import Path
from hoop_mitm.errors import ConfigError
from hoop_mitm.setup import SettingsFile
if os.geteuid() == 0:
    os.setuid(65534)
try:
    SettingsFile.read(Path(sys.argv[1]))
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_cannot_be_written_is_refused_before_anything_is_asked(what: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, path = Path(place), Path(place) / "mcp.json"
        path.write_text("{}")
        path.chmod(0o444 if what == "file" else 0o666)
        folder.chmod(0o777 if what == "file" else 0o555)
        assert "cannot be written by you" in as_somebody_else(path)
        folder.chmod(0o777)
        path.chmod(0o666)
        assert as_somebody_else(path) == ""


def test_it_is_replaced_in_one_step_with_the_rights_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o640)
    with path.open() as open_before:
        SettingsFile.read(path).replace(b'{"a": 1}')
        assert open_before.read() == "{}", "whoever reads sees the old or the new, never half"
    assert path.read_text() == '{"a": 1}'
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["mcp.json"]


def test_what_somebody_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    read = SettingsFile.read(path)
    path.write_text('{"theirs": 1}')
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        read.replace(b"{}")
    assert snapshot(tmp_path) == before


def test_a_file_in_a_folder_that_is_not_there_yet_can_be_made_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "Cursor" / "User" / "settings.json"
    SettingsFile.read(path).replace(b"{}")
    assert path.read_bytes() == b"{}"
    SettingsFile.read(path).replace(None)
    assert not path.exists()
