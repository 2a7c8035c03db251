from pathlib import Path

import pytest

from tests.archive.verify.recorded import Recorded, record


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """One for all: whoever changes it takes a copy."""
    return record(tmp_path_factory.mktemp("recorded") / "recordings")


@pytest.fixture
def path(recorded: Recorded, tmp_path: Path) -> Path:
    """A copy of the archive, without anything beside it."""
    return recorded.copy(tmp_path)
