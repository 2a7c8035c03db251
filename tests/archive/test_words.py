import pytest

from hoop_mitm.archive import words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines, Zoë 😀", "plain\ttext\nof two lines, Zoë 😀"),
        ("\x1b[2J\x07", "␛[2J␇"),
        ("a\rb", "a␍b"),
        ("\x9b2J\x7f", "<U+009B>2J<U+007F>"),
        ("abc\u202edef\u2066", "abc<U+202E>def<U+2066>"),
        ("pass\u200bword\ufeff", "pass<U+200B>word<U+FEFF>"),
        ("\U000e0041", "<U+E0041>"),
    ],
)
def test_what_steers_or_hides_is_shown_and_all_else_is_left(text, shown):
    assert words.visible(text) == shown


@pytest.mark.parametrize(
    ("number", "noun", "text"), [(0, "row", "0 rows"), (1, "row", "1 row"), (1234, "job", "1,234 jobs")]
)
def test_numbers_are_counted_in_words(number, noun, text):
    assert words.count(number, noun) == text


def test_a_plural_of_its_own_is_used():
    assert words.count(2, "query", "queries") == "2 queries"
