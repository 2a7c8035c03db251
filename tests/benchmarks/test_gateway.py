import re

import pytest

from benchmarks.gateway import main


@pytest.mark.exhaustive
def test_a_very_short_run_gives_every_figure_and_finds_every_answer_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--quick", "--seconds", "0.05", "--sizes", "2k", "--connections", "2", "--no-large"]) == 0
    said = capsys.readouterr().out
    assert (
        len(re.findall(r"^\| (?:statement|page), 2 KB +\| +2 \| gateway +(?:\| +[\d.]+ ){7}\|$", said, re.MULTILINE))
        == 2
    )
    assert "were found in its archive, each with its body" in said
