"""Timestamps in result rows, which BigQuery writes as seconds in floating point unless it is asked for integers."""

from decimal import Decimal
from typing import Any

_PLAIN_FROM, _PLAIN_BELOW = -3, 7


def float_timestamps(rows: list[dict[str, Any]], fields: list[dict[str, Any]]) -> None:
    """Turns every TIMESTAMP of ``rows`` from microseconds (``1767261600000000``) into ``1.7672616E9``, in place."""
    if not any(_has_timestamp(field) for field in fields):
        return
    for row in rows:
        _convert(row, fields)


def _convert(row: dict[str, Any], fields: list[dict[str, Any]]) -> None:
    for cell, field in zip(row["f"], fields, strict=True):
        if field.get("mode") == "REPEATED":
            for item in cell["v"] or ():
                item["v"] = _value(item["v"], field)
        else:
            cell["v"] = _value(cell["v"], field)


def _value(value: Any, field: dict[str, Any]) -> Any:
    if value is None:
        return None
    if field["type"] in ("RECORD", "STRUCT"):
        _convert(value, field["fields"])
        return value
    return _seconds(value) if field["type"] == "TIMESTAMP" else value


def _seconds(microseconds: str) -> str:
    """As Java prints a double, which is where BigQuery's spelling comes from."""
    number = Decimal(microseconds).scaleb(-6).normalize()
    if not number:
        return "0.0"
    exponent = number.adjusted()
    if _PLAIN_FROM <= exponent < _PLAIN_BELOW:
        plain = f"{number:f}"
        return plain if "." in plain else f"{plain}.0"
    mantissa = f"{number.scaleb(-exponent):f}"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{exponent}"


def _has_timestamp(field: dict[str, Any]) -> bool:
    return field["type"] == "TIMESTAMP" or any(_has_timestamp(below) for below in field.get("fields", ()))
