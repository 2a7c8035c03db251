"""HTML that cannot be made wrong: text is always escaped, only what ``tag`` made is markup."""

import html
from collections.abc import Iterable
from dataclasses import dataclass

from hoop_mitm.archive.words import visible

_VOID = frozenset(("meta", "br", "hr"))


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that ``tag`` made."""

    html: str


type Content = str | Markup | Iterable[Content] | None


def tag(name: str, /, *content: Content, **attributes: str | bool | None) -> Markup:
    """An element. Strings are text; ``None`` is nothing. ``class_`` is ``class``; ``True`` is an attribute alone."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + (f'="{escaped(value)}"' if isinstance(value, str) else "")
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>" + ("" if name in _VOID else f"{inside(content)}</{name}>"))


def inside(content: Content) -> str:
    """The HTML of what stands in an element."""
    match content:
        case None:
            return ""
        case Markup():
            return content.html
        case str():
            return escaped(content)
    return "".join(inside(each) for each in content)


def escaped(text: str) -> str:
    """``text`` so that it is only text, with what hides or reorders made visible."""
    return html.escape(visible(text), quote=True)
