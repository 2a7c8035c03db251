"""Keys are shown and rotated; what is printed is what an auditor compares."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hoop_mitm.cli import main
from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.identity import SigningKeys

CONFIG = """
gateway: {state: state}
identity: {issuers: [{issuer: "https://issuer.example", audiences: [hoop]}]}
connections: [{name: acme, projects: [acme], credential: {type: adc}}]
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "hoop.yaml").write_text(CONFIG)
    return tmp_path / "state"


def run(state: Path, *arguments: str, expect: int = 0) -> Result:
    config = ("--config", str(state.parent / "hoop.yaml"))
    result = CliRunner().invoke(main, ["keys", *arguments, *config])
    assert result.exit_code == expect, result.output
    return result


def test_keys_of_both_kinds_are_shown_by_what_others_know_them_by(state: Path) -> None:
    recording = RecordingKeys.load_or_create(state).newest.fingerprint
    signing = SigningKeys.load_or_create(state).newest.kid
    found = json.loads(run(state, "show", "--json").stdout)
    assert [(key["for"], key["id"]) for key in found] == [("recording", recording), ("session-tokens", signing)]
    lines = run(state, "show").stdout.splitlines()
    assert re.fullmatch(rf"recording       {recording}  made \d{{4}}-\d\d-\d\d \d\d:\d\d UTC", lines[0])


def test_where_there_is_no_key_none_is_made(state: Path) -> None:
    result = run(state, "show")
    assert (result.stdout, "no keys yet" in result.stderr) == ("", True)
    assert not state.exists()


def test_a_recordings_key_is_rotated_alone(state: Path) -> None:
    before = RecordingKeys.load_or_create(state).newest.fingerprint
    signing = SigningKeys.load_or_create(state).newest.kid
    new = run(state, "rotate", "--recording").stdout.strip()
    keys = RecordingKeys.load(state)
    assert [key.fingerprint for key in keys.all] == [before, new]
    assert SigningKeys.load_or_create(state).newest.kid == signing
    assert "session tokens" in run(state, "rotate", "--recording", "--end-sessions", expect=2).output
