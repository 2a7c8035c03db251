"""What editors accept is accepted and means the same; what they do not is refused, with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoop_mitm.setup.jsonc import JsoncError, at_path, parse, value_of

plain = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@given(values, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_all_json_means_what_pythons_own_reader_says(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert value_of(parse(text)) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("// first\n{} // last", {}),
        ("\ufeff{}", {}),
        (
            '{\r\n  // a comment with "quotes" and { braces\r\n  "a": 1, /* and\r\n another */ "b": [1, 2,],\r\n}\r\n',
            {"a": 1, "b": [1, 2]},
        ),
        ('{"a": "// no comment /* either */"}', {"a": "// no comment /* either */"}),
        ('{"a" /* x */ : /* y */ 1}', {"a": 1}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"\\u0061": "\\ud83d\\ude00"}', {"a": "😀"}),
    ],
)
def test_comments_and_commas_at_the_end_are_read_over(text: str, value: object) -> None:
    assert value_of(parse(text)) == value


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1, column 1: a value is missing"),
        ("{,}", "line 1, column 2: a name in double quotes"),
        ('{"a": 1,, }', "line 1, column 9: a name"),
        ('{"a" 1}', "line 1, column 6: a colon"),
        ('{"a": 1 "b": 2}', "line 1, column 9: a comma"),
        ("{'a': 1}", "line 1, column 2: a name"),
        ("{a: 1}", "line 1, column 2: a name"),
        ('{"a": 01}', "line 1, column 8: a comma"),
        ('{"a": truely}', "line 1, column 7: a value"),
        ('{\n  "a": "\n"}', "line 2, column 8: a value"),
        ('{"a": 1', "line 1, column 8: a comma"),
        ("{} {}", "line 1, column 4: nothing should follow"),
        ("{} /* open", "line 1, column 4: a comment that does not end"),
        ("[" * 300, "nested too deeply"),
        ('{"a": "\\x"}', "line 1, column 7: a value"),
        ('{"a": NaN}', "line 1, column 7: a value"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(JsoncError, match=where):
        parse(text)


def test_a_node_knows_where_it_stands() -> None:
    text = '{ "a.b": { "c": /* x */ [1] } }'
    node = at_path(parse(text), ("a.b", "c"))
    assert node is not None
    assert text[node.start : node.end] == "[1]"
    assert at_path(parse(text), ("a.b", "c", "d")) is None
