"""A journal and an archive without the gateway around them."""

from pathlib import Path

import pytest

from tests.recording.folding import Gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)
