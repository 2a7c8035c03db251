from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hoop_mitm.cli import main
from tests.archive.building import Builder


@dataclass
class Recording:
    """An archive that is being built, and the command line to read it with."""

    builder: Builder
    environment: dict[str, str] = field(default_factory=lambda: {"TZ": "UTC"})

    @property
    def path(self) -> Path:
        return self.builder.path

    def run(self, *arguments: str, expect: int = 0) -> Result:
        if not self.path.exists():
            self.builder.write()
        result = CliRunner(env={"HOOP_DB": str(self.path), **self.environment}).invoke(main, list(arguments))
        assert result.exit_code == expect, result.output
        return result


@pytest.fixture
def recording(tmp_path):
    return Recording(Builder(tmp_path / "hoop.duckdb"))
