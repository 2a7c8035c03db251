"""API Activity (6003) and Datastore Activity (6005) of OCSF 1.6.0 as JSON schemas, as far as exports use them.

Written from https://schema.ocsf.io/1.6.0. An attribute that is not named here is one that OCSF does not have there, or
one that no export writes: both are to be noticed.
"""

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_ANY = {}


def _object(required, **optional):
    properties = {**required, **optional}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _one_of(*numbers):
    return {"enum": list(numbers)}


_ENTITY = {"name": _TEXT, "uid": _TEXT}
_METADATA = _object(
    {"version": {"const": "1.6.0"}, "product": _object({"name": _TEXT}, vendor_name=_TEXT, version=_TEXT, uid=_TEXT)},
    uid=_TEXT,
    correlation_uid=_TEXT,
    original_time=_TEXT,
    profiles={"type": "array", "items": {"enum": ["cloud", "security_control"]}},
)
_USER = _object(
    {"uid": _TEXT},
    name=_TEXT,
    email_addr={"type": "string", "pattern": "@"},
    domain=_TEXT,
    groups={"type": "array", "items": _object({}, **_ENTITY)},
    type_id=_one_of(0, 1, 2, 3, 4, 99),
    type=_TEXT,
)
_SESSION = _object({}, uid=_TEXT, issuer=_TEXT, created_time=_NUMBER)
_ACCOUNT = _object({"uid": _TEXT}, name=_TEXT, type_id={"const": 11}, type={"const": "GCP Project"})
_ENDPOINT = _object({}, ip={"type": "string", "pattern": r"^[0-9a-f.:]+$"}, hostname=_TEXT, name=_TEXT, port=_NUMBER)
_API = _object(
    {"operation": _TEXT},
    service=_object({}, **_ENTITY),
    request=_object({"uid": _TEXT}),
    response=_object({}, code=_NUMBER, error_message=_TEXT),
)
_URL = _object({}, url_string=_TEXT, hostname=_TEXT, path=_TEXT)
_HTTP_REQUEST = _object({}, http_method=_TEXT, url=_URL, user_agent=_TEXT, version=_TEXT, length=_NUMBER)

_BASE_REQUIRED = {
    "activity_id": _NUMBER,
    "category_uid": {"const": 6},
    "type_uid": _NUMBER,
    "severity_id": _one_of(0, 1, 2, 3, 4, 5, 6, 99),
    "time": {"type": "integer", "minimum": 10**12},
    "metadata": _METADATA,
    # Required by the profile `cloud`.
    "cloud": _object({"provider": {"const": "GCP"}}, account=_ACCOUNT, region=_TEXT),
    # Required by both classes.
    "actor": _object({}, user=_USER, session=_SESSION, app_name=_TEXT),
    "src_endpoint": _ENDPOINT,
}
_BASE_OPTIONAL = {
    "activity_name": _TEXT,
    "category_name": {"const": "Application Activity"},
    "type_name": _TEXT,
    "severity": _TEXT,
    "status_id": _one_of(0, 1, 2, 99),
    "status": _TEXT,
    "status_code": _TEXT,
    "status_detail": _TEXT,
    "message": _TEXT,
    "unmapped": {"type": "object"},
    # The profile `security_control`.
    "action_id": _one_of(0, 1, 2, 3, 4, 99),
    "action": _TEXT,
    "disposition_id": {"type": "integer", "minimum": 0, "maximum": 99},
    "disposition": _TEXT,
    "policy": _object({}, **_ENTITY, is_applied={"type": "boolean"}),
    # Both classes.
    "dst_endpoint": _ENDPOINT,
    "http_request": _HTTP_REQUEST,
    "http_response": _object({"code": _NUMBER}, length=_NUMBER),
}

API_ACTIVITY = _object(
    {
        **_BASE_REQUIRED,
        "class_uid": {"const": 6003},
        "activity_id": _one_of(0, 1, 2, 3, 4, 99),
        "api": _API,
    },
    **_BASE_OPTIONAL,
    class_name={"const": "API Activity"},
)
DATASTORE_ACTIVITY = _object(
    {
        **_BASE_REQUIRED,
        "class_uid": {"const": 6005},
        "activity_id": _one_of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99),
        # At least one of database, databucket and table.
        "database": _object({"name": _TEXT, "type_id": _one_of(0, 1, 2, 3, 4, 5, 6, 99)}, uid=_TEXT, type=_TEXT),
    },
    **_BASE_OPTIONAL,
    class_name={"const": "Datastore Activity"},
    api=_API,
    type_id=_one_of(0, 1, 2, 3, 99),
    type=_TEXT,
    table=_object({}, **_ENTITY),
    query_info=_object({"query_string": _TEXT}, uid=_TEXT, query_time=_NUMBER, bytes=_NUMBER),
)
