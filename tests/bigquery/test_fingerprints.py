"""Statements that ask the same have one fingerprint."""

import pytest

from hoop_mitm.bigquery.fingerprints import fingerprint, normalised


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SELECT 1", "select   2 ;"),
        ("SELECT 'a'", 'SELECT """b"""'),
        ("SELECT a FROM t -- x", "SELECT a /* y */ FROM t # z"),
        ("SELECT * FROM t WHERE id IN (1, 2, 3)", "SELECT * FROM t WHERE id IN (4)"),
        ("SELECT * FROM `acme-1.shop.orders`", "SELECT * FROM acme-1.shop.orders"),
        ("SELECT r'\\d'", "SELECT 1.5e3"),
    ],
)
def test_layout_and_literals_make_no_difference(a, b):
    assert fingerprint(a) == fingerprint(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SELECT a", "SELECT b"),
        ("SELECT a FROM t", "SELECT a FROM u"),
        ("SELECT @p", "SELECT @q"),
        ("SELECT 1, a", "SELECT 1"),
        ("FROM d.2020", "FROM d.2021"),
    ],
)
def test_names_make_a_difference(a, b):
    assert fingerprint(a) != fingerprint(b)


def test_no_literal_is_in_the_normal_form():
    assert normalised("SELECT 'secret', 4711, x FROM t") == "select ? , x from t"


@pytest.mark.parametrize("statement", ["", "'", "/* open", "`open", "SELEC ((", "\ud800", "\0"])
def test_any_text_has_a_fingerprint(statement):
    assert len(fingerprint(statement)) == 16
