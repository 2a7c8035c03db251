"""bqemulator's own environment."""

import re
from pathlib import Path

import pytest

from hoop_mitm.devkit import environment
from hoop_mitm.devkit.environment import ensure_environment, home_of, python_of
from hoop_mitm.devkit.world import World
from hoop_mitm.errors import SandboxError

REQUIREMENTS = Path(environment.__file__).with_name("bqemulator.txt")


def test_every_requirement_is_pinned_and_has_a_hash() -> None:
    logical = REQUIREMENTS.read_text().replace("\\\n", " ").splitlines()
    assert logical
    for line in logical:
        assert re.match(r"^[a-z0-9._-]+==\S+( ; .+?)?\s+--hash=sha256:[0-9a-f]{64}", line), line[:80]


def test_the_requirements_name_no_registry() -> None:
    assert "://" not in REQUIREMENTS.read_text()
    assert "index-url" not in REQUIREMENTS.read_text()


def test_it_is_made_once_and_complete(world: World) -> None:
    assert world.broken() is None
    told: list[str] = []
    made = ensure_environment(told.append)

    assert told == []
    assert python_of(made).exists()
    assert list(home_of(made).rglob("spatial.duckdb_extension"))


def test_where_nothing_can_be_written_the_error_names_both_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "a-file"
    file.touch()
    monkeypatch.setattr("sys.prefix", str(file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    monkeypatch.setenv("HOME", str(file))

    with pytest.raises(SandboxError) as failure:
        ensure_environment()
    assert str(failure.value).count(str(file)) == 2
