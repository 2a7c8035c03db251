"""The benchmark of reading, with archives that are small."""

import re

import pytest

from benchmarks import page, reading
from benchmarks.__main__ import BENCHMARKS


@pytest.mark.exhaustive
def test_everything_is_asked_and_told(capsys):
    assert reading.main(["--flows", "400", "1200", "--rounds", "1"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("# Reading a large recording\n")
    for command in ("sessions", "show", "show --job", "search", "search --rows", "--help", "duckdb alone"):
        [row] = re.findall(rf"^\| {command} +\|(.*)\|$", told, re.MULTILINE)
        assert all(float(cell) > 0 for cell in row.split("|"))


@pytest.mark.exhaustive
def test_archives_can_be_kept_and_are_used_again(tmp_path, capsys):
    for _ in range(2):
        reading.main(["--flows", "400", "--rounds", "1", "--keep", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["400.duckdb"]
    assert re.search(r"^\|\s+400 \|.* - +\|$", capsys.readouterr().out, re.MULTILINE)


def test_benchmarks_can_be_named():
    assert BENCHMARKS.keys() >= {"diffing", "gateway", "reading", "recording"}


def test_a_part_of_the_results_is_replaced_and_the_others_stay(tmp_path):
    results = tmp_path / "RESULTS.md"
    for part in ("# One\n\nfirst\n", "# Two\n\n## Small\n\nsecond\n", "# One\n\nthird\n"):
        page.write(part, results)
    assert results.read_text() == "# One\n\nthird\n\n# Two\n\n## Small\n\nsecond\n"
    with pytest.raises(ValueError, match="begins with its title"):
        page.write("no title", results)
