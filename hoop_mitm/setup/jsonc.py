"""JSON as editors write it, with comments and commas at the end, read into nodes that know where they stand.

There are libraries that keep comments while they write a document anew. For somebody else's settings that is not
enough: what we do not touch must stay as it is to the byte. So nothing is written here; :mod:`editing` splices.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*(?:.|\n)*?\*/)*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"(?:true|false|null)\b")
_DEEPEST = 200
_BOM = "\ufeff"


class JsoncError(ValueError):
    """The text is not JSON, not even with comments; ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column}: {message}")


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands: ``text[start:end]``.

    ``trailing_comma`` is where a comma stands behind the last member or item, if there is one.
    """

    kind: Literal["object", "array", "plain"]
    start: int
    end: int
    plain: Any = None
    members: "tuple[Member, ...]" = ()
    items: "tuple[Node, ...]" = ()
    trailing_comma: int | None = None

    def member(self, key: str) -> "Member | None":
        """The member of that name; of several, the last, which is the one that editors take."""
        return next((each for each in reversed(self.members) if each.key == key), None)


@dataclass(frozen=True, slots=True)
class Member:
    """A key with its value; ``start`` is where the key's quote stands."""

    key: str
    start: int
    value: Node


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    depth: int = field(default=0)

    def fail(self, message: str) -> JsoncError:
        line = self.text.count("\n", 0, self.at) + 1
        return JsoncError(message, line, self.at - self.text.rfind("\n", 0, self.at))

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found
        self.at = found.end()
        if self.text.startswith("/*", self.at):
            raise self.fail("a comment that does not end")

    def take(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def value(self) -> Node:
        start = self.at
        if self.take("{"):
            members, comma = self.sequence("}", self.one_member)
            return Node("object", start, self.at, members=tuple(members), trailing_comma=comma)
        if self.take("["):
            items, comma = self.sequence("]", self.value)
            return Node("array", start, self.at, items=tuple(items), trailing_comma=comma)
        for shape in (_STRING, _NUMBER, _WORD):
            if found := shape.match(self.text, self.at):
                self.at = found.end()
                return Node("plain", start, self.at, plain=json.loads(found[0]))
        raise self.fail("a value is missing here")

    def one_member(self) -> Member:
        start = self.at
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise self.fail("a name in double quotes is missing here")
        self.at = found.end()
        self.space()
        if not self.take(":"):
            raise self.fail("a colon is missing here")
        self.space()
        return Member(json.loads(found[0]), start, self.value())

    def sequence(self, close: str, one: Any) -> tuple[list[Any], int | None]:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.fail("it is nested too deeply")
        found: list[Any] = []
        comma = None
        self.space()
        while not self.take(close):
            if found and comma is None:
                raise self.fail("a comma is missing here")
            found.append(one())
            self.space()
            here = self.at
            comma = here if self.take(",") else None
            self.space()
        self.depth -= 1
        return found, comma


def parse(text: str) -> Node:
    """The one value that ``text`` holds.

    Raises:
        JsoncError: it is not JSON with comments.
    """
    reader = _Reader(text, at=len(_BOM) if text.startswith(_BOM) else 0)
    reader.space()
    root = reader.value()
    reader.space()
    if reader.at != len(text):
        raise reader.fail("nothing should follow here")
    return root


def value_of(node: Node) -> Any:
    """The value as plain Python; of members of the same name, the last."""
    match node.kind:
        case "object":
            return {member.key: value_of(member.value) for member in node.members}
        case "array":
            return [value_of(item) for item in node.items]
        case _:
            return node.plain


def at_path(root: Node, path: tuple[str, ...]) -> Node | None:
    """The node below ``root`` by names; ``None`` where there is none."""
    node: Node | None = root
    for key in path:
        found = node.member(key) if node and node.kind == "object" else None
        node = found.value if found else None
    return node


def doubled(root: Node, path: tuple[str, ...]) -> str | None:
    """A name on the way of ``path`` that stands twice in its object, if any."""
    for depth, key in enumerate(path):
        node = at_path(root, path[:depth])
        if node and sum(member.key == key for member in node.members) > 1:
            return key
    return None


def comments_behind(text: str, at: int) -> Iterator[re.Match[str]]:
    """The comments behind ``at`` on the same line, if nothing but they stand there."""
    found = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)").match(text, at)
    while found:
        yield found
        found = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)").match(text, found.end())


def after_space(text: str, at: int) -> int:
    """Where the next thing stands behind ``at`` that is neither white space nor a comment."""
    found = _SPACE.match(text, at)
    assert found
    return found.end()
