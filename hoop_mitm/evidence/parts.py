"""Which fields of a record lie in which part. All others are the skeleton, and stay as long as the record does.

``who``        what tells a person: e-mail, subject, address, program. Erasure takes it.
``statement``  SQL, and whatever may quote it: errors, labels, what was learnt from bodies. Retention of statements takes it.
``exchange``   URL, headers, table names, an event's text. Goes with the record's metadata.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hoop_mitm.evidence.canonical import canonical
from hoop_mitm.evidence.commitment import commit, new_salt

PARTS = ("who", "statement", "exchange")

#: kind → path → part, and what stands there when the part is gone.
FIELDS: Mapping[str, Mapping[str, tuple[str, Any]]] = {
    "flow": {
        "session.name": ("who", ""),
        "session.principal": ("who", None),
        "session.client_address": ("who", ""),
        "session.program": ("who", None),
        "client_address": ("who", ""),
        "user_agent": ("who", ""),
        "program": ("who", None),
        "operation.statement": ("statement", None),
        "operation.labels": ("statement", {}),
        "executed_statement": ("statement", None),
        "verdict.message": ("statement", ""),
        "error": ("statement", None),
        "observed": ("statement", None),
        "url": ("exchange", ""),
        "request.headers": ("exchange", []),
        "response.headers": ("exchange", []),
        "operation.tables": ("exchange", []),
        "operation.read_streams": ("exchange", []),
    },
    "event": {
        "principal": ("who", None),
        "client_address": ("who", ""),
        "message": ("exchange", ""),
        "details": ("exchange", {}),
    },
    "session": {
        "name": ("who", ""),
        "principal": ("who", None),
        "client_address": ("who", ""),
        "program": ("who", None),
    },
}

#: The same by kind and part, with each path taken apart: to join is done for every record that is read.
_PLACES: Mapping[str, Mapping[str, Mapping[str, tuple[tuple[str, ...], str, Any]]]] = {
    kind: {
        part: {
            path: ((*path.split(".")[:-1],), path.split(".")[-1], empty)
            for path, (named, empty) in fields.items()
            if named == part
        }
        for part in PARTS
    }
    for kind, fields in FIELDS.items()
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it is kept: ``value`` is canonical JSON, path → field."""

    salt: bytes
    value: bytes


def split(kind: str, note: Mapping[str, Any]) -> tuple[bytes, dict[str, Part]]:
    """The skeleton of a record, and its parts by name.

    A field that is absent from ``note`` stays absent. The skeleton's ``parts`` holds the commitments in hexadecimal.
    """
    plain: dict[str, Any] = dict(note)
    moved: dict[str, dict[str, Any]] = {}
    for path, (part, _) in FIELDS.get(kind, {}).items():
        *outer, name = path.split(".")
        holder: dict[str, Any] | None = plain
        for key in outer:
            inner = holder.get(key) if holder is not None else None
            if not isinstance(inner, Mapping):
                holder = None
                break
            assert holder is not None
            # Copied on the way: the caller's note stays what it was.
            holder[key] = inner = dict(inner)
            holder = inner
        if holder is not None and name in holder:
            moved.setdefault(part, {})[path] = holder.pop(name)
    parts = {name: Part(new_salt(), canonical(fields)) for name, fields in moved.items()}
    plain["kind"] = kind
    plain["parts"] = {name: commit(name, part.salt, part.value).hex() for name, part in parts.items()}
    return canonical(plain), parts


def join(skeleton: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The record's fields again. ``skeleton`` and the values of ``parts`` are parsed; a part that is gone is empty."""
    note = {key: value for key, value in skeleton.items() if key not in ("kind", "parts")}
    sealed = skeleton.get("parts", {})
    for part, places in _PLACES.get(str(skeleton.get("kind")), {}).items():
        if part not in sealed:
            continue
        fields = parts.get(part)
        for path in places if fields is None else fields:
            if (place := places.get(path)) is None:
                continue
            outer, name, empty = place
            holder: Any = note
            for key in outer:
                holder = holder.get(key) if isinstance(holder, dict) else None
            if isinstance(holder, dict):
                holder[name] = empty if fields is None else fields[path]
    return note
