import pytest

from hoop_mitm.policy.reviews import reason_of


@pytest.mark.parametrize(
    ("statement", "labels", "reason"),
    [
        ("SELECT 1 -- hoop.reason: monthly report", {}, "monthly report"),
        ("/* hoop.reason: monthly report */ SELECT 1", {}, "monthly report"),
        ("# hoop.reason = it is asked for\nSELECT 1", {}, "it is asked for"),
        ("--hoop.reason:first\nSELECT 1 -- hoop.reason: second", {}, "first"),
        ("SELECT 1", {"hoop-reason": "ticket_42"}, "ticket_42"),
        ("SELECT 1 -- hoop.reason: said", {"hoop-reason": "label"}, "said"),
        ("SELECT 1 -- reason: none of ours", {}, ""),
        ("SELECT 'hoop.reason: in no comment'", {}, ""),
        (None, {}, ""),
        ("-- hoop.reason: " + "x" * 5_000, {}, "x" * 1_000),
    ],
)
def test_the_reason_is_what_the_client_says(statement: str | None, labels: dict[str, str], reason: str) -> None:
    assert reason_of(statement, labels) == reason
