import pytest

from tests.archive.building import Builder
from tests.serving.building import Recorded


@pytest.fixture
def recorded(tmp_path) -> Recorded:
    return Recorded(Builder(tmp_path / "hoop.duckdb"))
