"""Names with stars in them, on either side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoop_mitm.bigquery import TableRef
from hoop_mitm.policy.patterns import Patterns, named, overlap

CASES = [
    # pattern, name, covers, meets
    ("acme.shop.orders", "acme.shop.orders", True, True),
    ("acme.shop.orders", "acme.shop.Orders", False, True),
    ("shop.orders", "acme.shop.orders", True, True),
    ("shop.*", "acme.shop.orders", True, True),
    ("shop.*", "acme.workshop.orders", False, False),
    ("shop.*", "other.shop.orders", True, True),
    ("acme.com:crm.shop.*", "acme.com:crm.shop.orders", True, True),
    ("*", "acme.shop.orders", True, True),
    ("shop.orders", "acme.shop.*", False, True),
    ("shop.*", "acme.shop.*", True, True),
    ("shop.events_*", "acme.shop.events_*", True, True),
    ("shop.events_2024*", "acme.shop.events_*", False, True),
    ("shop.events_*", "acme.shop.e*", False, True),
    ("shop.a*b", "acme.shop.a*", False, True),
    ("shop.x*", "acme.shop.a*", False, False),
    ("hr.salaries", "acme.*.salaries", False, True),
    ("hr.salaries", "acme.*.orders", False, False),
    ("shop.a+b", "acme.shop.aab", False, False),
]


@pytest.mark.parametrize(("pattern", "name", "covers", "meets"), CASES)
def test_pattern(pattern, name, covers, meets):
    patterns = Patterns([pattern], parts=3)
    assert (patterns.covers(name), patterns.meets(name)) == (covers, meets)


def test_no_pattern_meets_nothing():
    assert not Patterns(())
    assert not Patterns(()).covers("")
    assert not Patterns(()).meets("a")


def test_parts_that_are_not_known_may_be_anything():
    assert named(TableRef("acme", "", "orders")) == "acme.*.orders"
    assert named(TableRef("acme", "shop", "events_*")) == "acme.shop.events_*"


words = st.text("ab*", max_size=6)


@given(words, words, st.text("ab", max_size=6))
def test_what_fits_both_is_never_missed(one, other, text):
    if Patterns([one]).covers(text) and Patterns([other]).covers(text):
        assert overlap(one, other)


@given(words, words, st.text("ab", max_size=4))
def test_what_is_covered_is_covered_whatever_the_star_stands_for(pattern, name, meant):
    if Patterns([pattern]).covers(name):
        assert Patterns([pattern]).covers(name.replace("*", meant))
