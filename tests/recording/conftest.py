"""A journal and an archive without the gateway around them, and nothing of them in a hurry."""

from pathlib import Path

import pytest

from hoop_mitm.recording import fold, folder, heads
from tests.recording.folding import Gateway


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here no intent grows old while a busy machine takes its time, and what is to be done at a stop is done."""
    monkeypatch.setattr(fold, "YOUNG", 600.0)
    monkeypatch.setattr(folder, "_LAST_FOLD", 300.0)
    monkeypatch.setattr(heads, "_PATIENCE_AT_STOP", 60.0)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)
