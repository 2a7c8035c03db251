"""What is put in can be taken out to the byte, whatever stands around it and whatever was edited meanwhile."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoop_mitm.setup.editing import EditError, set_members, taken_back
from hoop_mitm.setup.jsonc import at_path, parse, value_of

ENV = ("mcpServers", "bigquery", "env")
OURS = {"HTTPS_PROXY": "http://127.0.0.1:8080", "https_proxy": "http://127.0.0.1:8080", "NO": None}

SHAPES = {
    "an empty object": "{}",
    "an empty file with a comment": "// mine\n{\n  // nothing yet\n}\n",
    "an empty env": '{\n  "mcpServers": {\n    "bigquery": {\n      "command": "x",\n      "env": {}\n    }\n  }\n}\n',
    "no env": '{\n  "mcpServers": {\n    "bigquery": {\n      "command": "x"\n    }\n  }\n}\n',
    "no env, a comma at the end": '{\n\t"mcpServers": {\n\t\t"bigquery": {\n\t\t\t"command": "x",\n\t\t},\n\t},\n}',
    "a comment behind the last member": '{\n    "mcpServers": {\n        "bigquery": {\n            "command": "x" // why\n        } /* so */\n    }\n}\n',
    "a comment behind the comma at the end": '{\n "mcpServers": {\n  "bigquery": {\n   "command": "x", // why\n   // and more\n  }\n }\n}\n',
    "all on one line": '{"mcpServers": {"bigquery": {"command": "x", "env": {"A": "1"}}}}',
    "all on one line, commas at the end": '{"mcpServers": {"bigquery": {"command": "x", "env": {"A": "1",},},},}',
    "values of ours there already": '{\n  "mcpServers": {\n    "bigquery": {\n      "env": {\n        "A": "1",\n        "HTTPS_PROXY":  "http://old:1" , // old\n        "NO": null\n      }\n    }\n  }\n}\n',
    "windows": '\ufeff{\r\n  "mcpServers": {\r\n    "bigquery": {\r\n      "env": { // all\r\n        "A": "1"\r\n      }\r\n    }\r\n  }\r\n}\r\n',
    "comments in between": '{"mcpServers": /* a */ {"bigquery": // b\n {"env": {"A": /* c */ "1" /* d */}}}}',
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_it_is_put_in_and_taken_out_to_the_byte(text: str) -> None:
    changed, changes = set_members(text, ENV, OURS)

    expected = value_of(parse(text))
    servers = expected.setdefault("mcpServers", {}).setdefault("bigquery", {})
    servers["env"] = servers.get("env", {}) | OURS
    assert value_of(parse(changed)) == expected
    assert taken_back(changed, changes) == (text, [])


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_twice_is_once(text: str) -> None:
    changed, _ = set_members(text, ENV, OURS)
    assert set_members(changed, ENV, OURS) == (changed, [])


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_every_line_that_was_there_is_there_still(text: str) -> None:
    changed, changes = set_members(text, ENV, OURS)
    if all(change.kind == "added" for change in changes):
        rest = iter(changed)
        assert all(letter in rest for letter in text), "not a letter is gone or moved"


keys = st.sampled_from(["a", "b", "mcpServers", "bigquery", "env", "HTTPS_PROXY", "NO", "x.y"])
blanks = st.sampled_from(["", " ", "\n", "\n  ", "\t", " // note\n", "/* c */", "\r\n "])


@st.composite
def documents(draw: st.DrawFn, depth: int = 4) -> str:
    """Objects with strings in them, white space and comments wherever they may be, and one marker somewhere."""
    members = []
    for key in draw(st.lists(keys, unique=True, max_size=4)):
        value = (
            draw(documents(depth - 1))
            if depth and draw(st.booleans())
            else json.dumps(draw(st.sampled_from(["v", "//", "{"])))
        )
        members.append(f"{draw(blanks)}{json.dumps(key)}{draw(blanks)}:{draw(blanks)}{value}{draw(blanks)}")
    comma = "," + draw(blanks) if members and draw(st.booleans()) else ""
    return f"{{{draw(blanks)}{','.join(members)}{comma}}}"


@settings(max_examples=400, deadline=None)
@given(documents(), st.sampled_from([ENV, ("x.y",), ()]))
def test_whatever_the_file_looks_like_it_comes_back_to_the_byte(text: str, path: tuple[str, ...]) -> None:
    try:
        changed, changes = set_members(text, path, OURS)
    except EditError:
        assert any(
            value is not None and value.kind != "object"
            for value in (at_path(parse(text), path[: depth + 1]) for depth in range(len(path)))
        ) or "HTTPS_PROXY" in text or "NO" in text  # fmt: skip
        return
    there = at_path(parse(changed), path)
    assert there is not None
    assert OURS.items() <= value_of(there).items()
    assert taken_back(changed, changes) == (text, [])


@settings(max_examples=300, deadline=None)
@given(documents(depth=3), st.sampled_from(["TWO", "two\\nlines", ""]), st.booleans())
def test_what_somebody_edits_elsewhere_stays_and_only_ours_goes(inner: str, new: str, before: bool) -> None:
    marker = '\n  // here\n  "marker": "ONE",\n'
    text = f'{{{marker}"mcpServers": {inner} }}' if before else f'{{"mcpServers": {inner},{marker}}}'

    def edited(whole: str) -> str:
        return whole.replace("// here", "// here and there").replace('"ONE",', f'"{new}", "mine": [1, 2], // added')

    try:
        changed, changes = set_members(text, ENV, OURS)
    except EditError:
        return
    assert taken_back(edited(changed), changes) == (edited(text), [])


HAND = '{\n  "mcpServers": {\n    "bigquery": {\n      "command": "x"\n    }\n  }\n}\n'


@pytest.mark.parametrize(
    ("edit", "outcome", "left"),
    [
        # A variable of one's own among ours.
        (('"NO": null', '"NO": null,\n        "MINE": "1"'), {"env": {"MINE": "1"}}, []),
        (('"HTTPS_PROXY"', '"MINE": "1",\n        "HTTPS_PROXY"'), {"env": {"MINE": "1"}}, []),
        # One of ours changed: it is theirs now.
        (('"NO": null', '"NO": "yes"'), {"env": {"NO": "yes"}}, [(*ENV, "NO")]),
        # One of ours removed.
        ((',\n        "NO": null', ""), {}, []),
        # Everything reformatted.
        (("\n        ", "\n\t\t\t\t"), {}, []),
        # A member behind ours.
        (('"NO": null\n      }', '"NO": null\n      },\n      "args": []'), {"args": []}, []),
    ],
)
def test_edits_within_ours_are_told_from_ours(
    edit: tuple[str, str], outcome: dict[str, object], left: list[tuple[str, ...]]
) -> None:
    changed, changes = set_members(HAND, ENV, OURS)
    assert edit[0] in changed

    back, kept = taken_back(changed.replace(*edit), changes)

    assert value_of(parse(back)) == {"mcpServers": {"bigquery": {"command": "x", **outcome}}}
    assert kept == left


def test_a_member_added_behind_ours_where_a_comment_stood_at_the_end() -> None:
    text = '{\n  "a": 1 // note\n}\n'
    changed, changes = set_members(text, (), {"b": 2})
    assert changed == '{\n  "a": 1, // note\n  "b": 2\n}\n'
    back, _ = taken_back(changed.replace('"b": 2', '"b": 2,\n  "z": 3'), changes)
    assert back == '{\n  "a": 1, // note\n  "z": 3\n}\n'


def test_a_value_that_was_replaced_and_then_changed_by_hand_is_left() -> None:
    changed, changes = set_members('{"A": "old"}', (), {"A": "ours"})
    assert changed == '{"A": "ours"}'
    assert taken_back('{"A": "theirs"}', changes) == ('{"A": "theirs"}', [("A",)])
    assert taken_back("{}", changes) == ("{}", [("A",)])


def test_what_went_with_its_server_is_gone_already() -> None:
    changed, changes = set_members(HAND, ENV, OURS)
    assert "env" in changed
    assert taken_back('{"mcpServers": {}}', changes) == ('{"mcpServers": {}}', [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"mcpServers": []}', "mcpServers is not an object"),
        ('{"mcpServers": {"bigquery": {"env": "x"}}}', "env is not an object"),
        ('{"mcpServers": {}, "mcpServers": {}}', "the name mcpServers stands there twice"),
        ("[]", "the file is not an object"),
    ],
)
def test_what_is_not_shaped_so_is_refused(text: str, says: str) -> None:
    with pytest.raises(EditError, match=says):
        set_members(text, ENV, OURS)
