"""Partial responses: what Google's ``fields=`` parameter leaves of an answer (``rows,schema/fields(name,type)``)."""

from typing import Any

type Mask = dict[str, "Mask"]


def parse(text: str) -> Mask:
    """The mask as a tree; an empty tree stands for everything below.

    Raises:
        ValueError: if the parentheses do not match.
    """
    root: Mask = {}
    position = _fields(text, 0, root)
    if position != len(text):
        raise ValueError(f"Invalid field selection {text}")
    return root


def apply(mask: Mask, value: Any) -> Any:
    """What the mask leaves of a JSON value."""
    if not mask:
        return value
    if isinstance(value, list):
        return [apply(mask, item) for item in value]
    if not isinstance(value, dict):
        return value
    everything = mask.get("*")
    return {
        name: apply(mask.get(name, everything or {}), item)
        for name, item in value.items()
        if name in mask or everything is not None
    }


def _fields(text: str, position: int, into: Mask) -> int:
    while True:
        node, position = _path(text, position, into)
        if position < len(text) and text[position] == "(":
            position = _fields(text, position + 1, node)
            if position >= len(text) or text[position] != ")":
                raise ValueError(f"Invalid field selection {text}")
            position += 1
        if position >= len(text) or text[position] != ",":
            return position
        position += 1


def _path(text: str, position: int, into: Mask) -> tuple[Mask, int]:
    node = into
    while True:
        start = position
        while position < len(text) and text[position] not in "/,()":
            position += 1
        name = text[start:position].strip()
        if not name:
            raise ValueError(f"Invalid field selection {text}")
        node = node.setdefault(name, {})
        if position >= len(text) or text[position] != "/":
            return node, position
        position += 1
