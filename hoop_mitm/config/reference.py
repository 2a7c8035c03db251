"""The reference of ``hoop.yaml``, written from the model: ``python -m hoop_mitm.config.reference > docs/configuration.md``.

A test holds the page against the model.
"""

import inspect
import typing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hoop_mitm.config import schema
from hoop_mitm.config.cost import Budget, Ceiling, Cost
from hoop_mitm.config.model import (
    ApplicationDefault,
    Claims,
    CommandSink,
    Connection,
    Federation,
    FileSink,
    Gateway,
    HttpsSink,
    Identity,
    Impersonation,
    Issuer,
    Keep,
    Reconcile,
    Recording,
    Reviews,
    ServiceAccountKey,
    SessionTokens,
    Upstream,
    Webhook,
)
from hoop_mitm.config.policy import PolicyWords, ReviewWords, Rule

HEAD = """# hoop.yaml

One file says all. `hoop-mitm proxy --config FILE` reads it, or `$HOOP_CONFIG`, or `./hoop.yaml`. An unknown key, a wrong
value or a setting that would open a hole stops the start, with file, line and what would be right. Paths are relative to
the file. Durations are written `90s`, `15m`, `8h`, `30d`. Besides the sections below a file may have `version: 1`, its
format: the only one there is, and the default. This page is written from the program
(`python -m hoop_mitm.config.reference`).
"""

SECTIONS: dict[str, tuple[type[BaseModel], ...]] = {
    "gateway": (Gateway,),
    "gateway.upstream": (Upstream,),
    "identity": (Identity,),
    "identity.issuers[]": (Issuer,),
    "identity.issuers[].claims": (Claims,),
    "identity.session_tokens": (SessionTokens,),
    "connections[]": (Connection,),
    "connections[].credential": (ServiceAccountKey, ApplicationDefault, Impersonation, Federation),
    "connections[].reconcile": (Reconcile,),
    "recording": (Recording,),
    "recording.heads[]": (FileSink, CommandSink, HttpsSink),
    "recording.keep, connections[].keep": (Keep,),
    "policy": (PolicyWords,),
    "policy.rules[]": (Rule,),
    "policy.rules[].review": (ReviewWords,),
    "cost": (Cost,),
    "cost.ceilings[]": (Ceiling,),
    "cost.budgets[]": (Budget,),
    "reviews": (Reviews,),
    "reviews.webhooks[]": (Webhook,),
}


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    for place, models in SECTIONS.items():
        yield f"## `{place}`"
        for model in models:
            if len(models) > 1:
                yield f"### `type: {schema.tag(model)}`"
            if text := vars(model).get("__doc__"):
                yield inspect.cleandoc(text).replace("``", "`") + "\n"
            yield "| key | default | meaning |\n|---|---|---|"
            yield from (_row(name, field) for name, field in model.model_fields.items())
            yield ""


def _row(name: str, field: FieldInfo) -> str:
    meaning = field.description or ""
    if choices := _choices(field.annotation):
        meaning = f"{meaning}; one of {choices}" if meaning else f"one of {choices}"
    return f"| `{name}` | {_default(field)} | {meaning} |".replace("  ", " ")


def _choices(annotation: typing.Any) -> str:
    return (
        ", ".join(f"`{value}`" for value in typing.get_args(annotation))
        if (typing.get_origin(annotation) is typing.Literal and len(typing.get_args(annotation)) > 1)
        else ""
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True) if field.default is PydanticUndefined else field.default
    match value:
        case timedelta():
            return f"`{_duration(value)}`"
        case BaseModel():
            return "see below" if type(value) in {m for models in SECTIONS.values() for m in models} else ""
        case None | () | {} | "":
            return "none"
        case tuple():
            return ", ".join(f"`{item}`" for item in value)
        case Path():
            return f"`{value}/`"
        case _:
            return f"`{value}`"


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    unit, size = next(
        (unit, size) for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if not seconds % size
    )
    return f"{seconds // size}{unit}"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is what it is for
