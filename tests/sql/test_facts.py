"""What rules can go by is documented."""

import re
from pathlib import Path

from hoop_mitm.sql import FEATURES
from hoop_mitm.sql import facts as module

PAGE = Path(__file__).parents[2] / "docs" / "statements.md"


def test_every_feature_has_a_row_on_its_page() -> None:
    assert (
        set(re.findall(r"^\| `([a-z_]+)` \| (?!queries|`)", PAGE.read_text(), re.MULTILINE)) - {"write", "admin"}
        == FEATURES
    )


def test_every_feature_is_explained_where_it_is_defined() -> None:
    text = Path(module.__file__).read_text()
    listed = re.findall(r"^- (.+?):", text, re.MULTILINE)
    assert {name for line in listed for name in re.findall(r"``([a-z_]+)``", line)} == FEATURES
