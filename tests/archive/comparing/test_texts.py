import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoop_mitm.archive.comparing.texts import pieces
from hoop_mitm.archive.statements import normal

MARKS = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}


def told(before, after):
    return "".join(MARKS[piece.kind].format(piece.text) for piece in pieces(before, after))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("SELECT a", "select  a -- so", "select  a -- so"),
        ("SELECT a FROM t WHERE x = 1", "SELECT a FROM t WHERE x = 25", "SELECT a FROM t WHERE x = [-1-]{+25+}"),
        ("SELECT a, b FROM t", "SELECT a FROM t", "SELECT a[-, b-] FROM t"),
        ("SELECT a FROM t", "SELECT a, b\nFROM t", "SELECT a{+, b+}\nFROM t"),
        ("SELECT 'x y'", "SELECT 'x z'", "SELECT [-'x y'-]{+'x z'+}"),
        ("SELECT 1", "", "[-SELECT 1-]"),
    ],
)
def test_statements_are_compared_token_by_token(before, after, expected):
    assert told(before, after) == expected


words = st.lists(st.sampled_from(["SELECT", "a", ",", "'x'", "(", ")", "-- why\n", "1", " ", "t.b"]), max_size=12)


@given(words, words)
def test_nothing_of_either_statement_is_lost(before, after):
    before, after = " ".join(before), " ".join(after)
    found = pieces(before, after)
    assert "".join(piece.text for piece in found if piece.kind != "removed") == after
    old = " ".join(piece.text for piece in found if piece.kind != "added")
    assert normal(old) == normal(before)
