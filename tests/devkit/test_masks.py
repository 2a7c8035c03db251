"""What ``fields=`` leaves of an answer."""

from typing import Any

import pytest

from hoop_mitm.devkit import masks

ANSWER: dict[str, Any] = {
    "jobReference": {"projectId": "acme", "jobId": "j"},
    "schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "n", "type": "STRING"}]},
    "rows": [{"f": [{"v": "1"}]}],
    "totalRows": "1",
}


@pytest.mark.parametrize(
    ("mask", "left"),
    [
        ("totalRows", {"totalRows": "1"}),
        ("jobReference/jobId,totalRows", {"jobReference": {"jobId": "j"}, "totalRows": "1"}),
        ("schema(fields(name))", {"schema": {"fields": [{"name": "id"}, {"name": "n"}]}}),
        ("schema/fields/type", {"schema": {"fields": [{"type": "INTEGER"}, {"type": "STRING"}]}}),
        ("jobReference(projectId,jobId)", {"jobReference": {"projectId": "acme", "jobId": "j"}}),
        ("rows", {"rows": [{"f": [{"v": "1"}]}]}),
        ("*", ANSWER),
        ("nothing", {}),
    ],
)
def test_a_mask_leaves_what_it_names(mask: str, left: dict[str, Any]) -> None:
    assert masks.apply(masks.parse(mask), ANSWER) == left


@pytest.mark.parametrize("mask", ["a(b", "a)", "", "a,,b", "a/"])
def test_a_mask_that_makes_no_sense_is_an_error(mask: str) -> None:
    with pytest.raises(ValueError, match="Invalid field selection"):
        masks.parse(mask)
