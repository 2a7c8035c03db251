"""What the raw bytes of an answer say about the rows in it: a no must be certain."""

import json

import pytest

from hoop_mitm.archive.needle import Needle
from hoop_mitm.archive.search import _stands_in, _text
from hoop_mitm.archive.values import plain


@pytest.mark.parametrize(
    ("text", "body", "may"),
    [
        ("needle", b'{"v": "a NEEDLE here"}', True),
        ("needle", b'{"v": "hay"}', False),
        ("NeedLe", b'{"v": "needle"}', True),
        ("two words", b'{"v": "two words"}', True),
        ("two words", b'{"v": "two\\nwords"}', False),
        ('say "so"', b'{"v": "say \\"so\\""}', True),
        ("a\nb", b'{"v": "a\\nb"}', True),
        ("it's", b'{"v": "it\\u0027s"}', True),
        ("<b>bold", b'{"v": "\\u003cb\\u003ebold"}', True),
        ("a/b", b'{"v": "a\\/b"}', True),
        ("zo\u00eb", b'{"v": "Zo\\u00eb"}', True),
        ("zo\u00eb", "Zo\u00cb".encode(), True),
        ("\u65e5\u672c", '{"v": "\u65e5\u672c\u8a9e"}'.encode(), True),
        ("\u65e5\u672c", b'{"v": "\\u65e5\\u672c"}', True),
        ("\u65e5\u672c", b'{"v": "hay"}', False),
        ("needle", b'{"v": "\\u006eeedle"}', True),
        ("kelvin", "\u212aelvin".encode(), True),
        ("kelvin", "\u00e9lvin".encode(), False),
        ("1.5", b'{"v": "15E-1"}', True),
        ("2026-01-01t00", b'{"v": "1767225600000000"}', True),
        ("tru", b'{"v": 1}', True),
        ("infinit", b'{"v": "x"}', True),
        ("x1.5", b'{"v": "15E-1"}', False),
        ("%", b'{"v": "100%"}', True),
        ("_", b'{"v": "100"}', False),
    ],
)
def test_whether_a_text_may_stand_in_an_answer(text, body, may):
    assert Needle(text).may_stand_in(body) == may


VALUES = [
    'Zo\u00eb said "so" & <b>\u2028</b> it\'s a/b\\c\ttab\nline \u212a\u017f\u0130 \U0001f600',
    "plain words and_under 100%",
    "STRASSE stra\u00dfe \u1e9e",
]


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_no_piece_of_a_value_is_missed_however_it_is_escaped(value, escaped):
    """Against the value itself: every piece of it that is found there must be held possible in its JSON."""
    body = json.dumps({"v": value}, ensure_ascii=escaped)
    for wild in (str, lambda text: text.replace("<", "\\u003c").replace("'", "\\u0027").replace("/", "\\/")):
        raw = wild(body).encode()
        assert json.loads(raw) == {"v": value}
        for start in range(len(value)):
            for end in range(start + 1, min(start + 9, len(value)) + 1):
                for text in {value[start:end], value[start:end].lower(), value[start:end].upper()}:
                    if text.lower() in _text(plain(value)):
                        assert Needle(text).may_stand_in(raw), text


def test_what_arrow_finds_regardless_of_case_is_held_possible_too():
    import pyarrow as pa

    for value in ("\u212aelvin", "\u017ftrange", "\u0130stanbul"):
        for text in ("kelvin", "strange", "istanbul", "k", "s", "i"):
            if _stands_in(pa.table({"v": [value]}), text):
                assert Needle(text).may_stand_in(json.dumps({"v": value}, ensure_ascii=False).encode()), (value, text)


def test_a_text_that_lies_on_a_border_is_found_with_what_overlaps():
    needle = Needle("needle")
    first, second = b'{"v": "xxnee', b'dlexx"}'
    assert not needle.may_stand_in(first)
    assert needle.may_stand_in(first[-needle.overlap :] + second)
