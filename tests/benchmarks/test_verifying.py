"""What is measured is a verification that went through."""

import pytest

from benchmarks.big_archive import make
from benchmarks.traffic import Plan
from benchmarks.verifying import measure, render
from tests.archive.verify.changing import change


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "100.duckdb"
    make(path, Plan(100, 20, 2))
    return path


def test_both_ways_are_measured(archive):
    figures = {(100, way): [measure(archive, way)] for way in ("--quick", "whole")}
    assert all(figure.seconds > 0 < figure.processor and figure.memory > 10 for [figure] in figures.values())
    assert "| --quick |" in render({100: 120}, figures)


def test_what_is_broken_is_not_measured(archive, tmp_path):
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(archive.read_bytes())
    change(broken, "UPDATE flows SET host = 'elsewhere'")
    with pytest.raises(RuntimeError, match="does not verify"):
        measure(broken, "--quick")
