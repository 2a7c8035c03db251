"""What is written is read again as it was."""

from datetime import timedelta
from pathlib import Path

import pytest

from hoop_mitm.config import load
from hoop_mitm.config.basics import written
from hoop_mitm.config.writing import write

YAML = """\
version: 1
gateway:
  listen: 127.0.0.1:18080
  upstream: {proxy: "http://user:s3cret@proxy.corp:3128", no_proxy: [login.corp]}
identity:
  issuers: [{issuer: https://login.acme.example, audiences: [hoop-mitm], leeway: 90s, max_lifetime: 8h}]
  session_idle: 45m
connections:
  - {name: acme, projects: [acme], credential: {type: service_account, key_file: key.json}}
recording: {fold_interval: 2s, journal_keep: 30d}
"""


def test_a_configuration_comes_back_with_all_that_it_said(tmp_path: Path) -> None:
    (tmp_path / "hoop.yaml").write_text(YAML)
    config = load(tmp_path / "hoop.yaml")
    (tmp_path / "elsewhere").mkdir()

    again = write(config, tmp_path / "elsewhere" / "hoop.yaml", "Written by a test.")

    assert load(again) == config
    assert again.read_text().startswith("# Written by a test.\n")
    assert again.stat().st_mode & 0o777 == 0o600, "a proxy's address may hold a password"


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=90), "90d"),
        (timedelta(days=36500), "36500d"),
        (timedelta(0), "0d"),
    ],
)
def test_a_duration_is_written_so_that_it_is_read(length: timedelta, text: str) -> None:
    assert written(length) == text
