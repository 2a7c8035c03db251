from datetime import timedelta

import pytest

from hoop_mitm.cli import terminal


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, "·"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (123456789, "118 MiB"),
        (5 * 2**30, "5.0 GiB"),
        (3000 * 2**40, "3000 TiB"),
    ],
)
def test_sizes_are_in_the_units_that_bigquery_bills_in(number, words):
    assert terminal.size(number) == words


@pytest.mark.parametrize(
    ("billed", "words"), [(None, "$0"), (0, "$0"), (10 * 2**20, "< $0.01"), (2**40, "≈ $6.25"), (2**50, "≈ $6,400.00")]
)
def test_prices_are_estimates(billed, words):
    assert terminal.price(billed) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0004, "0 ms"), (0.35, "350 ms"), (42, "42.0 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_lengths_of_time_are_short_to_read(seconds, words):
    assert terminal.took(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("ä 漢 🎉 [red]", "ä 漢 🎉 [red]"),
        ("\x1b[2J", "␛[2J"),
        ("a\rb\x00\x7f", "a␍b␀<U+007F>"),
        ("\x9b2J", "<U+009B>2J"),
        ("user\u202egnp.exe", "user<U+202E>gnp.exe"),
        ("a\u200bb\ufeff", "a<U+200B>b<U+FEFF>"),
        ("\U000e0041", "<U+E0041>"),
    ],
)
def test_what_would_steer_or_deceive_is_made_visible(text, shown):
    assert terminal.safe(text) == shown


def test_a_long_statement_is_cut_to_its_first_lines():
    screen = terminal.console()
    with screen.capture() as capture:
        screen.print(terminal.sql("\n".join(f"line {n}" for n in range(30)), lines=5))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines == ["line 0", "line 1", "line 2", "line 3", "… 26 more lines"]


def test_hints_are_for_terminals_only(capsys):
    terminal.hint("what to do next")
    assert capsys.readouterr() == ("", "")
