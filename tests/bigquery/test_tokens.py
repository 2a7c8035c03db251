"""GoogleSQL in words, held against sqlglot's tokenizer."""

import pytest
import sqlglot

from hoop_mitm.bigquery.tokens import tokens


def words(statement: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokens(statement)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a -- b\n", [("word", "SELECT"), ("word", "a")]),
        ("a # b\rc", [("word", "a"), ("word", "c")]),
        ("a /* b\n */ c", [("word", "a"), ("word", "c")]),
        ("a /* never closed", [("word", "a")]),
        (r"'it\'s'", [("string", "it's")]),
        (r"r'\d'", [("string", r"\d")]),
        (r"'\x41\u0042\103'", [("string", "ABC")]),
        ('"""a "quoted" word"""', [("string", 'a "quoted" word')]),
        ("'''a\nb'''", [("string", "a\nb")]),
        ("'a' 'b' /* c */ 'd'", [("string", "abd")]),
        ("'a' || 'b'", [("string", "a"), ("mark", "|"), ("mark", "|"), ("string", "b")]),
        ("b'x' br'\\y'", [("string", "x\\y")]),
        ("`a.b`", [("quoted", "a.b")]),
        (r"`a\x5fb`", [("quoted", "a_b")]),
        ("'-- no comment' x", [("string", "-- no comment"), ("word", "x")]),
        ("'never closed\nx", [("string", "never closed"), ("word", "x")]),
        ("1.5e3 x.1y", [("number", "1.5e3"), ("word", "x"), ("mark", "."), ("number", "1y")]),
        ("@@dataset_id", [("mark", "@@"), ("word", "dataset_id")]),
        ("straße", [("word", "straße")]),
    ],
)
def test_statements_are_cut_as_bigquery_cuts_them(statement, expected):
    assert words(statement) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a, 'b', `c.d`, 1.5 FROM x.y AS t WHERE z IN (1, 2) -- end",
        'MERGE s.t USING (SELECT 1 id) u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = "q"',
        "SELECT r'\\d+', '''a'b''', \"\"\"c\"d\"\"\" /* x */ FROM `p-q.d.t`",
        "FROM s.t |> WHERE a > 1 |> AGGREGATE COUNT(*) AS n # end",
    ],
)
def test_strings_and_comments_end_where_sqlglot_says(statement):
    kind = sqlglot.tokens.TokenType
    theirs = [
        t.text for t in sqlglot.tokenize(statement, read="bigquery") if t.token_type in (kind.STRING, kind.RAW_STRING)
    ]
    assert [text for kind_, text in words(statement) if kind_ == "string"] == theirs
