"""What pages that are read offline have in common: their head, their style, and how facts, statements and values look.

A page loads nothing and runs nothing: no scripts, no links outwards, its one style sheet in it, and a content security
policy that forbids everything else.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources

from hoop_mitm.archive import words
from hoop_mitm.archive.export.markup import Content, Markup, tag
from hoop_mitm.archive.values import plain

BOTTOM = "\n</body>\n</html>\n"

_LONGEST_CELL = 2000
_LONGEST_HIGHLIGHTED = 100_000


def top(title: str) -> str:
    """All that stands before a page's own content; ``BOTTOM`` goes after it."""
    style = (resources.files(__package__) / "page.css").read_text()
    return f'<!doctype html>\n<html lang="en">\n{_head(title, style).html}\n<body>\n'


def _head(title: str, style: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        # The style sheet is ours, and a style element is not escaped.
        Markup(f"<style>{style}</style>"),
    )


def facts(facts: Sequence[tuple[str, Content]]) -> Markup:
    """A list of names and what there is to say of each; what is empty is left out."""
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in facts if value])


def sql(statement: str) -> Markup:
    """A statement, highlighted."""
    return tag("pre", tag("code", list(_highlighted(statement))), class_="sql")


def _highlighted(statement: str) -> Iterator[Content]:
    """A statement with its words, texts and comments told apart, of any length that takes no noticeable time."""
    if len(statement) > _LONGEST_HIGHLIGHTED:
        yield statement
        return
    from pygments.lexers.sql import SqlLexer
    from pygments.token import Comment, Keyword, Number, String

    classes = ((Keyword, "k"), (String, "s"), (Comment, "c"), (Number, "n"))
    lexer = SqlLexer(stripnl=False, ensurenl=False)
    # The lexer leaves out a mark at the start, and makes newlines of returns: so it gets what is shown.
    for kind, text in lexer.get_tokens(words.visible(statement)):
        name = next((name for known, name in classes if known in kind.split()), None)
        yield tag("span", text, class_=name) if name else text


def cell(value: object, *, number: bool) -> Markup:
    """A value in a cell of a table of rows."""
    return tag("td", value_of(value), class_="right" if number and value is not None else None)


def value_of(value: object) -> Content:
    """A value as it is shown; a very long one is cut."""
    if value is None:
        return tag("i", "NULL", class_="quiet")
    shown = plain(value)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    rest = len(text) - _LONGEST_CELL
    more = tag("i", f" … {words.count(rest, 'more character')}", class_="quiet") if rest > 0 else None
    return [text[:_LONGEST_CELL], more]


def moment(at: datetime) -> str:
    """A time in UTC, so that two readers see the same."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
