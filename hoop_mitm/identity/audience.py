"""The audience of a credentials file: how a client says which connection and session it wants.

Client libraries send it along with every token exchange, unchanged. It has the form that they require of workload
identity federation, with project number 0, which Google never gives out.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from hoop_mitm.errors import IdentityError

PREFIX = "//iam.googleapis.com/projects/0/locations/global/workloadIdentityPools/hoop-mitm/providers/"

_MAX_NAME = 100
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHAPE = re.compile(
    re.escape(PREFIX)
    + r"(?P<connection>[a-z][a-z0-9_-]{0,62})"
    + r"(?:/sessions/(?P<session_id>[0-9A-Fa-f-]{36})(?:/(?P<name>[A-Za-z0-9._~%-]+))?)?"
)


@dataclass(frozen=True, slots=True)
class Audience:
    """What a client asks to be bound to: a connection, and perhaps a session with a name."""

    connection: str
    session_id: str | None = None
    session_name: str | None = None


def audience_for(connection: str, session_id: str | None = None, name: str | None = None) -> str:
    """The audience for a credentials file.

    Raises:
        ValueError: the session id is no UUID, the name is empty, too long or not printable, or has no session.
    """
    text = PREFIX + connection
    if session_id is not None:
        text += f"/sessions/{session_id}" + (f"/{quote(name, safe='')}" if name is not None else "")
    try:
        parsed = parse_audience(text)
    except IdentityError:
        parsed = None
    if parsed != Audience(connection, session_id.lower() if session_id else session_id, name):
        raise ValueError("needed: a connection's name, a session's UUID, and a name of 1 to 100 printable characters")
    return text


def parse_audience(text: str) -> Audience:
    """The parts of an audience.

    Raises:
        IdentityError: ``wrong_audience``: it is not one of ours.
    """
    match = _SHAPE.fullmatch(text)
    session_id = (match["session_id"] or "").lower() if match else ""
    name = _name(match["name"]) if match and match["name"] is not None else None
    if match is None or (session_id and not _UUID.fullmatch(session_id)) or name == "":
        raise IdentityError(
            "wrong_audience",
            "The credentials file is not made for hoop-mitm. Point "
            "GOOGLE_APPLICATION_CREDENTIALS at the file that hoop-mitm wrote.",
        )
    return Audience(match["connection"], session_id or None, name)


def _name(quoted: str) -> str:
    """The session's name, or an empty text when it cannot be one."""
    try:
        name = unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        return ""
    return name if len(name) <= _MAX_NAME and name.isprintable() and name.strip() == name else ""
