import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoop_mitm.evidence import canonical, commit, join, split
from hoop_mitm.evidence.parts import FIELDS

FLOW = {
    "id": "0190",
    "session": {"id": "s", "connection": "acme", "name": "alice's", "principal": {"email": "alice@acme.example"}},
    "operation": {"door": "jobs.query", "statement": "SELECT 'alice@acme.example'", "labels": {"a": "b"}, "tables": []},
    "verdict": {"decision": "allow", "rule": "default", "message": ""},
    "client_address": "127.0.0.1",
    "user_agent": "python",
    "url": "https://bigquery.googleapis.com/",
    "request": {"headers": [["host", "bigquery.googleapis.com"]], "size": 2, "body": None},
    "response": {"headers": [], "size": 0, "body": None},
    "error": None,
}


def opened(parts):
    return {name: orjson.loads(part.value) for name, part in parts.items()}


def test_a_record_is_the_same_after_it_was_split_and_joined() -> None:
    skeleton, parts = split("flow", FLOW)

    assert join(orjson.loads(skeleton), opened(parts)) == FLOW


def test_splitting_leaves_the_note_as_it_was() -> None:
    before = orjson.dumps(FLOW)

    split("flow", FLOW)

    assert orjson.dumps(FLOW) == before


def test_the_skeleton_has_no_word_of_a_person_or_a_statement() -> None:
    skeleton, _ = split("flow", FLOW)

    assert b"alice" not in skeleton
    assert b"SELECT" not in skeleton


def test_each_part_is_committed_to_with_a_salt_of_its_own() -> None:
    skeleton, parts = split("flow", FLOW)

    said = orjson.loads(skeleton)["parts"]
    assert said == {name: commit(name, part.salt, part.value).hex() for name, part in parts.items()}
    assert split("flow", FLOW)[0] != skeleton


@pytest.mark.parametrize("gone", ["who", "statement", "exchange"])
def test_what_is_gone_is_empty_and_the_rest_is_there(gone: str) -> None:
    skeleton, parts = split("flow", FLOW)
    left = {name: fields for name, fields in opened(parts).items() if name != gone}

    note = join(orjson.loads(skeleton), left)

    assert note["id"] == FLOW["id"]
    assert note["request"]["size"] == 2
    for path, (part, empty) in FIELDS["flow"].items():
        value = note
        for key in path.split("."):
            value = (value or {}).get(key)
        if part == gone:
            assert value == empty or value is None, path


def test_a_flow_that_nobody_was_identified_for_has_no_session_and_stays_so() -> None:
    note = FLOW | {"session": None, "operation": None}
    skeleton, parts = split("flow", note)

    assert join(orjson.loads(skeleton), opened(parts)) == note


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_any_details_come_back(details: object) -> None:
    note = {"id": "1", "principal": None, "client_address": "", "message": "m", "details": {"d": details}}
    skeleton, parts = split("event", note)

    assert join(orjson.loads(skeleton), opened(parts)) == orjson.loads(canonical(note))
