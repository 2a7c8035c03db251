"""GoogleSQL cut into words: enough to find names and to compare statements, without understanding them."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

type Kind = Literal["word", "quoted", "string", "number", "mark"]


class Token(NamedTuple):
    """``text`` is the meaning: of a quoted name or a string, the content with its escapes resolved."""

    kind: Kind
    text: str
    start: int
    end: int


# Unterminated quotes and comments run to the end, so that nothing behind them is taken for code by mistake.
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|(?:--|\#)[^\r\n]*|/\*.*?(?:\*/|\Z))
  | (?P<string>(?i:(?P<prefix>rb|br|r|b))?(?P<string_body>
        '''(?:[^\\]|\\.)*?(?:'''|\Z) | \"{3}(?:[^\\]|\\.)*?(?:\"{3}|\Z)
      | '(?:[^'\\\r\n]|\\.)*(?:'|$|\Z) | "(?:[^"\\\r\n]|\\.)*(?:"|$|\Z)))
  | (?P<quoted>`(?:[^`\\]|\\.)*(?:`|\Z))
  | (?P<word>[^\W\d]\w*)
  | (?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d\w*)
  | (?P<mark>@@|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)

_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _escape(match: re.Match[str]) -> str:
    if octal := match[5]:
        return chr(int(octal, 8))
    if plain := match[6]:
        return _CONTROL.get(plain, plain)
    code = int(next(group for group in match.groups() if group), 16)
    return chr(code) if code < 0x110000 else "\ufffd"  # noqa: PLR2004 - the end of Unicode


def unescaped(text: str) -> str:
    """Text with GoogleSQL's escape sequences resolved, which quoted names share with strings."""
    return _ESCAPE.sub(_escape, text) if "\\" in text else text


def tokens(statement: str) -> Iterator[Token]:
    """Every token except white space and comments. Strings that follow each other are one, as in GoogleSQL."""
    strings: list[Token] = []
    for match in _TOKEN.finditer(statement):
        kind = match.lastgroup
        if kind == "space":
            continue
        if kind == "string":
            strings.append(Token("string", _content(match), match.start(), match.end()))
            continue
        if strings:
            yield _joined(strings)
            strings = []
        text = unescaped(match[0].strip("`")) if kind == "quoted" else match[0]
        yield Token(kind, text, match.start(), match.end())  # type: ignore[arg-type]
    if strings:
        yield _joined(strings)


def _joined(strings: list[Token]) -> Token:
    return Token("string", "".join(token.text for token in strings), strings[0].start, strings[-1].end)


def _content(match: re.Match[str]) -> str:
    body = match["string_body"]
    quote = body[:3] if body[:3] in ("'''", '"""') else body[0]
    content = body[len(quote) :].removesuffix(quote)
    return content if "r" in (match["prefix"] or "").lower() else unescaped(content)
