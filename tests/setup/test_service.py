"""The files that systemd and launchd are given, held to what these say is valid."""

import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hoop_mitm.errors import NoGateway
from hoop_mitm.setup.service import Launchd, Systemd, service_for

AWKWARD = ["plain", "with space", "per%cent", "dollar$HOME", 'quo"te', "back\\slash"]


@pytest.mark.parametrize("name", AWKWARD)
def test_systemd_takes_the_unit_as_valid_whatever_the_path(tmp_path: Path, name: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine")
    folder = tmp_path / name
    folder.mkdir()
    unit = tmp_path / "hoop-mitm.service"
    unit.write_text(Systemd(folder / "hoop.yaml").text())

    checked = subprocess.run(
        ["systemd-analyze", "--user", "verify", unit], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip

    about_us = [line for line in (checked.stdout + checked.stderr).splitlines() if "hoop-mitm" in line]
    assert (checked.returncode, about_us) == (0, []), checked.stderr


def test_a_mistake_in_the_unit_would_be_seen(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine")
    unit = tmp_path / "hoop-mitm.service"
    unit.write_text(Systemd(tmp_path / "hoop.yaml").text().replace("ExecStart=", "ExecStart=no such thing "))
    checked = subprocess.run(
        ["systemd-analyze", "--user", "verify", unit], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert checked.returncode != 0


def test_launchd_starts_the_same_command_and_keeps_it_running(tmp_path: Path) -> None:
    service = Launchd(tmp_path / "with space" / "hoop.yaml")
    read = plistlib.loads(service.text().encode())
    assert read["ProgramArguments"] == service.command
    assert (read["RunAtLoad"], read["KeepAlive"]) == (True, True)
    assert read["Umask"] == 0o077


def test_the_command_is_the_gateways_own_and_finds_its_configuration_from_anywhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = service_for(Path("hoop.yaml"), "darwin").command
    assert command[:3] == [sys.executable, "-I", "-m"]
    assert command[-1] == str(tmp_path / "hoop.yaml")


def test_a_system_without_either_says_what_to_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoGateway, match="neither systemd nor launchd"):
        service_for(tmp_path / "hoop.yaml", "linux")


def test_where_the_service_manager_does_not_answer_it_is_said(tmp_path: Path, monkeypatch) -> None:
    if not shutil.which("systemctl"):
        pytest.skip("systemctl is not on this machine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with pytest.raises(NoGateway, match="The service was not started: `systemctl --user daemon-reload` says"):
        Systemd(tmp_path / "hoop.yaml").install()
    assert Systemd(tmp_path / "hoop.yaml").remove()
    assert not Systemd(tmp_path / "hoop.yaml").remove()


def command_of(unit: str) -> list[str]:
    """The command line of a unit, as systemd reads it."""
    [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix("ExecStart="))]


@pytest.mark.parametrize("name", AWKWARD)
def test_the_units_command_says_what_is_meant(tmp_path: Path, name: str) -> None:
    service = Systemd(tmp_path / name / "hoop.yaml")
    assert command_of(service.text()) == service.command
