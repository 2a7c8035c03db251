"""Asks the configuration model about itself: what may stand at a place in the file, and what it means.

A place is pydantic's location of an error: keys, indices, and the tags of unions in between.
"""

import difflib
import types
import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hoop_mitm.config.model import Config


def keys(location: Sequence[int | str]) -> tuple[str, ...]:
    """The keys that the mapping at ``location`` may have; empty where any may stand."""
    found = [model for model in _descend(location)[0] if _is_model(model)]
    return tuple(dict.fromkeys(name for model in found for name in model.model_fields))


def description(location: Sequence[int | str]) -> str:
    """What the setting at ``location`` means, in the words of the model."""
    field = _descend(location)[1]
    return (field.description or "") if field else ""


def tags(location: Sequence[int | str]) -> tuple[str, ...]:
    """The values of ``type`` that choose between the alternatives at ``location``."""
    return tuple(found for model in _descend(location)[0] if (found := tag(model)))


def written(location: Sequence[int | str]) -> str:
    """A location as a person writes it: ``identity.issuers[0].audiences``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in without_tags(location))
    return text.removeprefix(".")


def without_tags(location: Sequence[int | str]) -> tuple[int | str, ...]:
    """A location as the keys and indices of the file, without the tags of unions."""
    kept, here = [], list(_alternatives(Config))
    for part in location:
        if not _tagged(here, part):
            kept.append(part)
        here, _ = _step(here, part)
    return tuple(kept)


def suggestion(key: str, known: Sequence[str]) -> str:
    """``did you mean …?`` when ``key`` is close to a known one; else the list of what is known."""
    close = closest(key, known)
    return f"did you mean `{close}`?" if close else f"known here: {', '.join(known)}"


def closest(key: str, known: Sequence[str]) -> str | None:
    """The known key that ``key`` is probably a misspelling of."""
    return next(iter(difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)), None)


def _descend(location: Sequence[int | str]) -> tuple[list[typing.Any], FieldInfo | None]:
    here, field = list(_alternatives(Config)), None
    for part in location:
        here, field = _step(here, part)
    return here, field


def _step(here: list[typing.Any], part: int | str) -> tuple[list[typing.Any], FieldInfo | None]:
    if tagged := _tagged(here, part):
        return tagged, None
    for model in here:
        if _is_model(model) and part in model.model_fields:
            field = model.model_fields[str(part)]
            return list(_alternatives(field.annotation)), field
    items = [item for container in here for item in typing.get_args(container) if item is not Ellipsis]
    return [alternative for item in items for alternative in _alternatives(item)], None


def _tagged(here: list[typing.Any], part: int | str) -> list[typing.Any]:
    """The alternative of a union that ``part`` chooses; nothing where there is no choice."""
    return [model for model in here if tag(model) == part] if len(here) > 1 else []


def _alternatives(annotation: typing.Any) -> Iterator[typing.Any]:
    """The types behind aliases, ``Annotated`` and unions."""
    origin = typing.get_origin(annotation)
    if isinstance(annotation, typing.TypeAliasType):
        yield from _alternatives(annotation.__value__)
    elif origin is typing.Annotated:
        yield from _alternatives(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _is_model(candidate: typing.Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def tag(model: typing.Any) -> str | None:
    """The value of ``type`` that chooses this alternative of a union; ``None`` where there is no choice."""
    if not _is_model(model) or "type" not in model.model_fields:
        return None
    values = typing.get_args(model.model_fields["type"].annotation)
    return str(values[0]) if len(values) == 1 else None
