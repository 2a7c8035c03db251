"""The page, read as a browser reads it: it holds what was recorded, and nothing of that is markup."""

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from tests.archive.eventful import EVIL, NAME, WRITER

VISIBLE_EVIL = EVIL.replace("\x1b", "␛").replace("\x07", "␇").replace("\x9b", "<U+009B>").replace("\u202e", "<U+202E>")
ELEMENTS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "h1",
    "h2",
    "h3",
    "dl",
    "dt",
    "dd",
    "p",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "pre",
    "span",
    "b",
    "i",
    "a",
    "div",
    "section",
    "details",
    "summary",
    "footer",
}
VOID = {"meta"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.open, self.texts, self.style = [], [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        raise AssertionError(data)

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)

    def values(self, name):
        return [value for _, given, value in self.attributes if given == name]


@pytest.fixture
def page(exported):
    return lambda name=NAME, **options: Page(exported(name, "html", **options).decode())


@pytest.mark.parametrize("name", [NAME, "empty", "another"])
def test_it_is_well_formed_and_of_harmless_elements_only(page, name):
    found = page(name)
    assert found.open == []
    assert set(found.elements) <= ELEMENTS
    assert {given for _, given, _ in found.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "id", "class", "href", "title", "open",
    }  # fmt: skip


@pytest.mark.parametrize("name", [NAME, "empty"])
def test_it_loads_nothing_and_leads_nowhere_but_into_itself(page, name):
    found = page(name)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    assert all(link.startswith("#") and link[1:] in ids for link in found.values("href"))
    assert "url(" not in found.style
    assert "@import" not in found.style


def test_its_policy_forbids_everything_but_its_own_style(page):
    found = page()
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert found.values("content")[0] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert found.elements.index("meta") < found.elements.index("title")


def test_hostile_text_is_shown_as_it_was_written(page):
    found = page()
    for words in (
        f"eventful {VISIBLE_EVIL}",
        f"SELECT '{VISIBLE_EVIL}' AS",
        f"Syntax error: {VISIBLE_EVIL}",
        WRITER,
        "<i>id</i>",
    ):
        assert words in found.text
    assert found.text.count(VISIBLE_EVIL) >= 10


@pytest.mark.parametrize("name", [NAME, "empty"])
def test_no_byte_steers_a_terminal_or_turns_the_text_around(exported, name):
    assert not set(exported(name, "html").decode()) & set(EVIL) - set(map(chr, range(32, 127)))


def test_an_auditor_reads_who_what_and_what_came_of_it_in_order(page):
    text = page().text
    places = [
        text.index(words)
        for words in (
            "alice@acme.example",
            "alice at https://issuer.example",
            "7 jobs",
            "2 denied",
            "Tables that were read",
            "Needs attention",
            f"read_only: {WRITER}",
            "was sent, and what came of it is not known",
            "Jobs",
            "#1 ok",
            "2 rows",
            "#2 ok",
            "Rows that were read without a job",
            "TimeExchangeOutcome",
            "EventWhat happened",
            "All times are in UTC",
            "some exchanges were recorded at the level metadata",
        )
    ]
    assert places == sorted(places)


def test_results_are_tables_with_null_apart_from_the_word(page):
    found = page()
    place = found.texts.index(VISIBLE_EVIL, found.texts.index("raw"))
    assert found.texts[place - 1 : place + 5] == ["1", VISIBLE_EVIL, "AAEC/w==", "2", "NULL", "NULL"]


def test_rows_that_came_through_the_storage_api_are_shown_too(page):
    text = page().text
    assert "4 rows" in text


def test_only_so_many_rows_are_shown_and_the_rest_is_counted(page):
    assert "2 of 4 rows" in page(max_rows=2).text
    assert "2 of 4 rows" not in page(max_rows=None).text


def test_an_empty_session_says_that_nothing_happened(page):
    found = page("empty")
    assert "Nothing was refused and nothing failed." in found.text
    assert "h3" not in found.elements
