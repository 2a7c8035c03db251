"""Members put into a JSON text, and taken out of it again, without touching anything else.

Everything that is put in is put in as whole pieces, of which a note is kept. Taking back removes those pieces; where
somebody edited in between so that a piece is no longer there as it was, its members are looked up by name. Either way
the outcome is read again, and must say exactly what the text said, less what was ours.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hoop_mitm.setup.jsonc import Member, Node, after_space, at_path, comments_behind, doubled, parse, value_of

type Names = tuple[str, ...]

_ABSENT = object()


class EditError(ValueError):
    """The text cannot be edited as asked; the message says why, in a clause."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done to a text.

    Attributes:
        kind: ``added``: members put into the object at ``path``; ``replaced``: the value at ``path``.
        path: names from the root.
        values: what was put there: the members, or ``{"": value}``.
        pieces: the texts that were inserted, in order; or the new value's text.
        before: the replaced value's text.
    """

    kind: Literal["added", "replaced"]
    path: Names
    values: Mapping[str, Any]
    pieces: Sequence[str]
    before: str = ""


def set_members(text: str, path: Names, values: Mapping[str, Any]) -> tuple[str, list[Change]]:
    """``text`` with ``values`` as members of the object at ``path``, which is made where there is none.

    Raises:
        JsoncError: the text is not JSON with comments.
        EditError: something else than an object stands on the way, or a name stands there twice.
    """
    changes: list[Change] = []
    root = parse(text)
    while path and at_path(root, path) is None:
        # What is missing on the way is put in together with what belongs there.
        path, values = path[:-1], {path[-1]: dict(values)}
    holder = at_path(root, path)
    where = " › ".join(path) or "the file"
    if holder is None or holder.kind != "object":
        raise EditError(f"{where} is not an object")
    for key in values:
        if name := doubled(root, (*path, key)):
            raise EditError(f"the name {name} stands there twice")
    for key, value in values.items():
        found = holder.member(key)
        if found is None or value_of(found.value) == value:
            continue
        if isinstance(value, dict):
            raise EditError(f"{' › '.join((*path, key))} is not an object")
        before, new = text[found.value.start : found.value.end], json.dumps(value, ensure_ascii=False)
        text = text[: found.value.start] + new + text[found.value.end :]
        changes.append(Change("replaced", (*path, key), {"": value}, [new], before))
        holder = _object(text, path)
    missing = {key: value for key, value in values.items() if holder.member(key) is None}
    if missing:
        inserts = _inserts(text, holder, missing)
        changes.append(Change("added", path, missing, [piece for _, piece in inserts]))
        for at, piece in reversed(inserts):
            text = text[:at] + piece + text[at:]
    return text, changes


def taken_back(text: str, changes: Sequence[Change]) -> tuple[str, list[Names]]:
    """``text`` without ``changes`` (the last first), and the paths of what was left, since somebody changed it after us.

    Raises:
        JsoncError: the text is not JSON with comments.
        EditError: it cannot be done safely.
    """
    left: list[Names] = []
    for change in reversed(changes):
        if change.kind == "replaced":
            node = at_path(parse(text), change.path)
            if node is None or text[node.start : node.end] != change.pieces[0]:
                left.append(change.path)
            else:
                text = text[: node.start] + change.before + text[node.end :]
        else:
            text = _without(text, change, left)
    return text, left


def _object(text: str, path: Names) -> Node:
    node = at_path(parse(text), path)
    assert node
    return node


def _inserts(text: str, holder: Node, members: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Where to put which pieces so that ``members`` become the last ones of ``holder``."""
    newline = "\r\n" if "\r\n" in text else "\n"
    base = _indentation(text, holder.start)
    step = _step(text)
    inside = text[holder.start : holder.end]
    if holder.members and "\n" not in inside:
        written = ", ".join(_written(key, value, "", "", " ") for key, value in members.items())
        if holder.trailing_comma is None:
            return [(holder.members[-1].value.end, f", {written}")]
        return [(holder.trailing_comma + 1, f" {written},")]
    own = _indentation(text, holder.members[0].start) if holder.members else base + step
    lines = [newline + own + _written(key, value, own, step, newline) for key, value in members.items()]
    if not holder.members:
        closing = "" if "\n" in inside else newline + base
        return [(holder.start + 1, ",".join(lines) + closing)]
    if holder.trailing_comma is not None:
        return [(_behind_comments(text, holder.trailing_comma + 1), "".join(f"{line}," for line in lines))]
    end = holder.members[-1].value.end
    behind = _behind_comments(text, end)
    if behind == end:
        return [(end, "".join(f",{line}" for line in lines))]
    return [(end, ","), (behind, ",".join(lines))]


def _behind_comments(text: str, at: int) -> int:
    """Behind the comments that belong to what ends at ``at``, if the line ends there."""
    end = at
    for comment in comments_behind(text, at):
        end = comment.end()
    return end if text[end : end + 2].lstrip(" \t")[:1] in ("\r", "\n", "") and end > at else at


def _written(key: str, value: Any, indentation: str, step: str, newline: str) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: {_value(value, indentation, step, newline)}"


def _value(value: Any, indentation: str, step: str, newline: str) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    if newline == " ":
        return "{" + ", ".join(_written(key, each, "", "", " ") for key, each in value.items()) + "}"
    deeper = indentation + step
    lines = [newline + deeper + _written(key, each, deeper, step, newline) for key, each in value.items()]
    return "{" + ",".join(lines) + newline + indentation + "}"


def _indentation(text: str, at: int) -> str:
    """What the line of ``at`` begins with."""
    found = re.match(r"[ \t]*", text[text.rfind("\n", 0, at) + 1 : at])
    return found[0] if found else ""


def _step(text: str) -> str:
    """By how much the text indents: the first indentation in it, or two spaces."""
    found = re.search(r"\n([ \t]+)[\"/}\]]", text)
    return found[1] if found else "  "


def _without(text: str, change: Change, left: list[Names]) -> str:
    root = parse(text)
    holder = at_path(root, change.path)
    if holder is None or holder.kind != "object":
        return text  # It went with what it stood in.
    ours, kept = _still_ours(value_of(holder), change.values, change.path)
    wanted = _less(value_of(root), change.path, ours)
    left.extend(kept)
    for attempt in (_by_pieces, _by_names):
        tried = attempt(text, change, ours)
        if tried is not None and _says(tried) == wanted:
            return tried
    raise EditError("it was edited in a way that hoop-mitm cannot tell its own lines from others")


def _still_ours(there: Mapping[str, Any], put: Mapping[str, Any], path: Names) -> tuple[dict[str, Any], list[Names]]:
    """Of what was put, what is there as it was put; and the paths of what somebody has changed since."""
    ours: dict[str, Any] = {}
    kept: list[Names] = []
    for key, value in put.items():
        now = there.get(key, _ABSENT)
        if now == value:
            ours[key] = value
        elif isinstance(now, dict) and isinstance(value, dict):
            within, kept_within = _still_ours(now, value, (*path, key))
            # Where somebody put something of their own beside ours, theirs stays.
            ours[key] = within
            kept += kept_within
        elif now is not _ABSENT:
            kept.append((*path, key))
    return ours, kept


def _less(whole: Any, path: Names, ours: Mapping[str, Any]) -> Any:
    """The value without ``ours`` in the object at ``path``; of objects that we made and others filled, only our part."""
    if path:
        return {key: _less(each, path[1:], ours) if key == path[0] else each for key, each in whole.items()}
    remaining = {}
    for key, each in whole.items():
        if key not in ours:
            remaining[key] = each
        elif isinstance(ours[key], dict) and each != ours[key]:
            remaining[key] = _less(each, (), ours[key])
    return remaining


def _says(text: str) -> Any:
    try:
        return value_of(parse(text))
    except ValueError:
        return _ABSENT


def _by_pieces(text: str, change: Change, _ours: Mapping[str, Any]) -> str | None:
    """Cut out what was put in, if each piece is there, once, in the object where it was put."""
    for piece in reversed(change.pieces):
        holder = _object(text, change.path) if _says(text) is not _ABSENT else None
        start, end = (holder.start, holder.end) if holder else (0, len(text))
        if piece == ",":
            at = _comma_behind(text, change)
        else:
            at = text.find(piece, start, end) if text.count(piece, start, end) == 1 else None
        if at is None or at < 0:
            return None
        text = text[:at] + text[at + len(piece) :]
    return text


def _comma_behind(text: str, change: Change) -> int | None:
    """The comma that went in alone: by now it is one behind the last member."""
    holder = at_path(parse(text), change.path)
    return holder.trailing_comma if holder else None


def _by_names(text: str, change: Change, ours: Mapping[str, Any]) -> str | None:
    for key, value in ours.items():
        holder = at_path(parse(text), change.path)
        member = holder.member(key) if holder else None
        if holder is None or member is None:
            return None
        if isinstance(value, dict) and value_of(member.value) != value:
            inner = _by_names(text, Change("added", (*change.path, key), value, ()), value)
            if inner is None:
                return None
            text = inner
        else:
            text = _cut(text, holder, member)
    return text


def _cut(text: str, holder: Node, member: Member) -> str:
    """``text`` without a member, its comma, and the line that it stood on."""
    start, end = member.start, member.value.end
    index = holder.members.index(member)
    last = index == len(holder.members) - 1
    comma = after_space(text, end) if not last else holder.trailing_comma
    if comma is not None:
        text = text[:comma] + text[comma + 1 :]
    elif index:
        before = after_space(text, holder.members[index - 1].value.end)
        text = text[:before] + text[before + 1 :]
        start, end = start - 1, end - 1
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    if line_end >= 0 and not text[line_start:start].strip() and not text[end:line_end].strip():
        return text[:line_start] + text[line_end + 1 :]
    behind = re.compile(r"[ \t]*").match(text, end)
    return text[:start] + text[behind.end() if behind else end :]
