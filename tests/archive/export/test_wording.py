import pytest

from hoop_mitm.archive.export import wording


@pytest.mark.parametrize(("status", "words"), [(200, "OK"), (403, "Forbidden"), (299, ""), (0, "")])
def test_a_status_has_its_words(status, words):
    assert wording.reason(status) == words


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", ""), ("Zoë".encode(), "Zoë"), (b"\xff", None), (b"a\0b", None), (b"\xed\xa0\x80", None)],
)
def test_a_body_is_text_where_it_decodes_and_holds_no_nul(body, text):
    assert wording.text(body) == text
