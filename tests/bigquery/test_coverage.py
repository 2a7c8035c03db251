"""docs/doors.md is what the program does."""

from pathlib import Path

from hoop_mitm.bigquery.coverage import page
from hoop_mitm.bigquery.methods import DISCOVERY

PAGE = Path(__file__).parents[2] / "docs" / "doors.md"


def test_the_page_is_the_programs():
    assert PAGE.read_text() == page(), "run: python -m hoop_mitm.bigquery.coverage > docs/doors.md"


def test_every_method_has_its_row():
    text = page()
    for name, (verb, path) in DISCOVERY.methods.items():
        assert text.count(f"| `{name}`<br>{verb} `{path}` |") == 1
