import pytest

from tests.archive.building import Builder


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path / "hoop.duckdb")
