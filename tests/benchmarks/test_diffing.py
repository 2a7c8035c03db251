"""The benchmark of comparing, with results that are small."""

import re

import pytest

from benchmarks import diffing


@pytest.mark.exhaustive
def test_every_way_is_measured_and_finds_what_changed(capsys):
    assert diffing.main(["--rows", "30000", "--rounds", "1"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("# Comparing large results\n")
    for way in (diffing.BARE, diffing.BARE_TABLES, diffing.ALONE, diffing.STREAMS, diffing.PAGES):
        [row] = re.findall(rf"^\| {re.escape(way)} +\|(.*)\|$", told, re.MULTILINE)
        *figures, _ = row.split("|")
        assert min(map(float, figures)) > 0
