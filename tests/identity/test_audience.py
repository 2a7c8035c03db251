"""The audience of a credentials file names a connection and a session, and nothing slips through it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoop_mitm.errors import IdentityError
from hoop_mitm.identity import Audience, audience_for, parse_audience

PREFIX = "//iam.googleapis.com/projects/0/locations/global/workloadIdentityPools/hoop-mitm/providers/"
ID = "0193e4a0-1111-7000-8000-00000000000a"

GOOD = [
    ("acme", None, None, "acme"),
    ("acme-2_x", ID, None, f"acme-2_x/sessions/{ID}"),
    ("acme", ID, "nightly", f"acme/sessions/{ID}/nightly"),
    ("acme", ID, "Q3 report / draft", f"acme/sessions/{ID}/Q3%20report%20%2F%20draft"),
    ("acme", ID, "größer", f"acme/sessions/{ID}/gr%C3%B6%C3%9Fer"),
]


@pytest.mark.parametrize(("connection", "session_id", "name", "text"), GOOD)
def test_what_is_written_is_read(connection, session_id, name, text):
    assert audience_for(connection, session_id, name) == PREFIX + text
    assert parse_audience(PREFIX + text) == Audience(connection, session_id, name)


def test_a_session_id_has_one_spelling():
    assert parse_audience(f"{PREFIX}acme/sessions/{ID.upper()}").session_id == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        PREFIX,
        PREFIX + "Acme",
        PREFIX + "acme/",
        PREFIX + "acme\n",
        PREFIX + "../acme",
        PREFIX + "acme/sessions",
        PREFIX + "acme/sessions/",
        PREFIX + "acme/sessions/x",
        PREFIX + "acme/sessions/@last",
        PREFIX + f"acme/sessions/{ID[:-1]}",
        PREFIX + f"acme/sessions/{ID.replace('-', '')}",
        PREFIX + f"acme/sessions/{'-' * 36}",
        PREFIX + f"acme/sessions/{{{ID[2:]}}}",
        PREFIX + f"acme/sessions/{ID}/",
        PREFIX + f"acme/sessions/{ID}/a/b",
        PREFIX + f"acme/sessions/{ID}/a?b",
        PREFIX + f"acme/sessions/{ID}/%1b%5b2J",
        PREFIX + f"acme/sessions/{ID}/%00",
        PREFIX + f"acme/sessions/{ID}/%0a",
        PREFIX + f"acme/sessions/{ID}/%ff",
        PREFIX + f"acme/sessions/{ID}/%20a",
        PREFIX + f"acme/sessions/{ID}/{'n' * 101}",
        PREFIX + f"acme/sessions/{ID}/%E2%80%AEevil",
        PREFIX.replace("projects/0", "projects/123456") + "acme",
        PREFIX.replace("hoop-mitm", "company") + "acme",
        "//iam.googleapis.com/locations/global/workforcePools/hoop-mitm/providers/acme",
        "https:" + PREFIX + "acme",
        "x" + PREFIX + "acme",
    ],
)
def test_what_is_not_ours_is_refused(text):
    with pytest.raises(IdentityError) as caught:
        parse_audience(text)
    assert caught.value.reason == "wrong_audience"


@pytest.mark.parametrize(
    ("connection", "session_id", "name"),
    [
        ("Acme", None, None),
        ("acme", "x", None),
        ("acme", None, "name"),
        ("acme", ID, ""),
        ("acme", ID, "a\x1b"),
        ("acme", ID, "n" * 101),
    ],
)
def test_what_could_not_be_read_is_not_written(connection, session_id, name):
    with pytest.raises(ValueError, match="needed"):
        audience_for(connection, session_id, name)


@given(st.text(min_size=1, max_size=100).filter(lambda text: text.isprintable() and text == text.strip()))
def test_every_printable_name_makes_the_way_and_back(name):
    try:
        text = audience_for("acme", ID, name)
    except ValueError:
        assert len(name) > 100
    else:
        assert parse_audience(text).session_name == name
