"""What reviewers are shown."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hoop_mitm.policy.reviews import Approval, Review
from hoop_mitm.policy.reviews.review import rid_of_body, rid_of_statement
from hoop_mitm.policy.reviews.showing import GONE_AFTER, difference, shown, summary
from tests.policy.reviews.test_deciding import ALICE, BOB, NOW, person, review


def asking(statement: str, **more: object) -> Review:
    plain = review()
    configuration = f'{{"query":{{"query":"{statement}","maximumBytesBilled":"{more.pop("limit", 5)}"}}}}'
    return replace(plain, held=replace(plain.held, statement=statement, configuration=configuration), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("polled", "client"),
    [(None, "waiting"), (timedelta(seconds=1), "waiting"), (GONE_AFTER, "waiting"), (GONE_AFTER * 2, "gone")],
)
def test_a_client_that_does_not_ask_any_more_is_gone(polled: timedelta | None, client: str) -> None:
    later = NOW + timedelta(minutes=30)
    asked = later if polled is None else NOW
    waiting = replace(review(), requested_at=asked, polled_at=None if polled is None else later - polled)

    assert summary(waiting, later)["client"] == client
    assert summary(replace(waiting, state="REJECTED"), later)["client"] is None


def test_what_is_new_is_a_difference_of_lines() -> None:
    before, after = asking("DELETE FROM t WHERE n = 1"), asking("DELETE FROM t WHERE n = 2", limit=9)

    lines = list(difference(before, after))

    assert [line for line in lines[2:] if line[:1] in "+-"] == [
        "-DELETE FROM t WHERE n = 1",
        "+DELETE FROM t WHERE n = 2",
        '-  "maximumBytesBilled": "5"',
        '+  "maximumBytesBilled": "9"',
    ]
    assert list(difference(before, before)) == []


def test_of_a_request_that_is_kept_no_more_the_statement_is_compared() -> None:
    before, after = asking("DELETE FROM t WHERE n = 1"), asking("DELETE FROM t WHERE n = 2", limit=9)

    lines = list(difference(replace(before, held=rid_of_body(before.held)), after))
    assert [line for line in lines[2:] if line[:1] in "+-"] == [
        "-DELETE FROM t WHERE n = 1",
        "+DELETE FROM t WHERE n = 2",
    ]
    assert list(difference(replace(before, held=rid_of_statement(before.held)), after)) == [
        "The earlier one's statement is kept no more."
    ]


def test_each_is_told_what_is_theirs_to_say() -> None:
    waiting = asking("DELETE FROM t WHERE n = 1")
    approval = Approval(BOB.key, str(BOB), NOW, "fine")

    def you(who: object, what: Review = waiting) -> dict[str, object]:
        said = shown(what, to=who, machines={}, now=NOW, before=replace(waiting, approvals=(approval,)))  # type: ignore[arg-type]
        assert said["previous"]["approved_by"] == ["bob@acme.example"]
        mine: dict[str, object] = said["you"]
        return mine

    assert you(BOB)["may_decide"]
    assert "your own" in str(you(ALICE)["why_not"])
    assert not you(person("dan", "analysts"))["may_decide"]
    assert not you(BOB, replace(waiting, state="EXECUTED"))["may_decide"]
