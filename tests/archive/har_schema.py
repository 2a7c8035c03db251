"""HTTP Archive 1.2 as a JSON schema, written from its specification.

Stricter than most readers: fields that HAR does not know must begin with an underscore.
"""

_INTEGER = {"type": "integer", "minimum": -1}
_DURATION = {"type": "number", "minimum": -1}
_TEXT = {"type": "string"}


def _object(required, **optional):
    properties = {**required, **optional, "comment": _TEXT}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def _list(items):
    return {"type": "array", "items": items}


_PAIR = _object({"name": _TEXT, "value": _TEXT})
_COOKIE = _object(
    {"name": _TEXT, "value": _TEXT},
    path=_TEXT,
    domain=_TEXT,
    expires={"type": "string", "format": "date-time"},
    httpOnly={"type": "boolean"},
    secure={"type": "boolean"},
)
_POST_DATA = _object({"mimeType": _TEXT, "text": _TEXT})
_CONTENT = _object({"size": _INTEGER, "mimeType": _TEXT}, compression={"type": "integer"}, text=_TEXT, encoding=_TEXT)
_MESSAGE = {
    "httpVersion": _TEXT,
    "cookies": _list(_COOKIE),
    "headers": _list(_PAIR),
    "headersSize": _INTEGER,
    "bodySize": _INTEGER,
}
_REQUEST = _object(
    {
        "method": _TEXT,
        "url": {"type": "string", "format": "uri", "pattern": r"^https?://[!-~]+$"},
        "queryString": _list(_PAIR),
        **_MESSAGE,
    },
    postData=_POST_DATA,
)
_RESPONSE = _object(
    {"status": {"type": "integer"}, "statusText": _TEXT, "content": _CONTENT, "redirectURL": _TEXT, **_MESSAGE}
)
_TIMINGS = _object(
    {name: {"type": "number", "minimum": 0} for name in ("send", "wait", "receive")},
    blocked=_DURATION,
    dns=_DURATION,
    connect=_DURATION,
    ssl=_DURATION,
)
_ENTRY = _object(
    {
        "startedDateTime": {
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$",
        },
        "time": {"type": "number", "minimum": 0},
        "request": _REQUEST,
        "response": _RESPONSE,
        "cache": _object({}, beforeRequest={"type": "object"}, afterRequest={"type": "object"}),
        "timings": _TIMINGS,
    },
    pageref=_TEXT,
    serverIPAddress=_TEXT,
    connection=_TEXT,
)
_NAMED = _object({"name": _TEXT, "version": _TEXT})

HAR = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["log"],
    "additionalProperties": False,
    "properties": {
        "log": _object(
            {"version": {"const": "1.2"}, "creator": _NAMED, "entries": _list(_ENTRY)},
            browser=_NAMED,
            pages=_list({"type": "object"}),
        )
    },
}
