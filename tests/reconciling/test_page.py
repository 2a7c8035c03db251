"""The page on closing the way around is held to what the program does."""

import re
from pathlib import Path

import pytest

from hoop_mitm.config import load
from hoop_mitm.reconciling import KINDS, jobs_view
from tests.examples import blocks_of

PAGE = Path(__file__).parents[2] / "docs" / "closing-the-way-around.md"


def test_its_configuration_is_a_valid_one(tmp_path: Path) -> None:
    [block] = blocks_of(PAGE, "yaml")
    (tmp_path / "hoop.yaml").write_text(block)

    [connection] = load(tmp_path / "hoop.yaml").connections

    assert connection.reconcile.locations == ("EU", "us-central1")


@pytest.mark.parametrize("kind", KINDS)
def test_it_explains_every_finding(kind: str) -> None:
    assert re.search(rf"^\| `{kind}` \|", PAGE.read_text(), re.MULTILINE)


def test_it_says_how_far_the_list_reaches() -> None:
    text = PAGE.read_text()
    assert f"for {jobs_view.KEPT.days} days" in text
    assert "last ten minutes" in text
    assert jobs_view.LAG.total_seconds() == 600
