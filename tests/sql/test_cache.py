"""Facts that have been found before."""

from hoop_mitm.sql import cache, understand
from hoop_mitm.sql.facts import StatementFacts


def test_every_part_of_a_question_counts() -> None:
    questions = [
        ("SELECT 1", "a", None, False),
        ("SELECT 2", "a", None, False),
        ("SELECT 1", "b", None, False),
        ("SELECT 1", "a", (None, ""), False),
        ("SELECT 1", "a", ("", "d"), False),
        ("SELECT 1", "a", ("d", ""), False),
        ("SELECT 1", "a", None, True),
    ]
    keys = {cache.key(statement, project, default, legacy=legacy) for statement, project, default, legacy in questions}
    assert len(keys) == len(questions)


def test_the_one_that_was_not_asked_for_the_longest_goes() -> None:
    facts = StatementFacts(("SELECT",), "read")
    kept = cache.Cache(2)
    kept.put(b"a", facts)
    kept.put(b"b", facts)
    kept.get(b"a")
    kept.put(b"c", facts)
    assert (kept.get(b"a"), kept.get(b"b"), kept.get(b"c")) == (facts, None, facts)


def test_the_same_text_is_not_understood_twice() -> None:
    assert understand("SELECT 1 FROM a.b", project="p") is understand("SELECT 1 FROM a.b", project="p")
