"""Reads ``hoop.yaml`` and says precisely what is wrong with it.

A message names the file and the line, what is wrong, and what would be right. It does not repeat what the file
says there, because a file may hold the password of a proxy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hoop_mitm.config import schema
from hoop_mitm.config.model import Config, check_connections
from hoop_mitm.config.policy import RuleSet
from hoop_mitm.errors import ConfigError

type Location = tuple[int | str, ...]


def load(path: Path) -> Config:
    """The configuration in ``path``, with every relative path in it resolved against the file's directory.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or is not a valid configuration.
    """
    config = _resolved(_validated(Config, path), path.absolute().parent)
    rules_of(config)
    return config


def rules_of(config: Config) -> RuleSet | None:
    """The rules of a configuration, read from their own file where it names one; ``None`` where it has no policy.

    Raises:
        ConfigError: that file is wrong.
    """
    policy = config.policy
    if policy is None or policy.file is None:
        return policy and RuleSet(mode=policy.mode, rules=policy.rules)
    rules = load_rules(policy.file)
    try:
        check_connections(rules.rules, config.connections)
    except ValueError as error:
        raise ConfigError(str(error), file=policy.file) from None
    return rules


def load_rules(path: Path) -> RuleSet:
    """The rules in a file that holds nothing else.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or does not hold rules.
    """
    rules = _validated(RuleSet, path, under=("policy",))
    if not rules.rules:
        raise ConfigError("it holds no `rules`", file=path)
    return rules


def _validated[M: BaseModel](model: type[M], path: Path, under: Location = ()) -> M:
    """``under``: where in ``hoop.yaml`` that would stand which is a file of its own here."""
    document = _parse(path, _text(path))
    try:
        return model.model_validate(_plain(document))
    except ValidationError as error:
        raise _config_error(path, document, error.errors(include_input=False, include_url=False), under) from None


def document(path: Path) -> object:
    """What a YAML file says, as plain Python objects; for files of another shape than ``hoop.yaml``.

    Raises:
        ConfigError: the file cannot be read, or is not YAML.
    """
    return _plain(_parse(path, _text(path)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file; name another one, or write it (see docs)", file=path) from None
    except UnicodeDecodeError:
        raise ConfigError("this is not text in UTF-8", file=path) from None
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", file=path) from None


def _parse(path: Path, text: str) -> Mapping[str, Any]:
    """The YAML document as ruamel's round-trip objects, which know their lines. (ruamel is slow to import.)"""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = "a key is written twice; keep one" if isinstance(error, DuplicateKeyError) else error.problem
        raise ConfigError(f"not valid YAML: {problem}", file=path, line=mark.line + 1 if mark else None) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"not valid YAML ({type(error).__name__})", file=path) from None
    if document is None:
        raise ConfigError("the file is empty; it needs at least `identity` and `connections`", file=path)
    if not isinstance(document, Mapping):
        raise ConfigError("the file must be a mapping of settings (`identity:`, `connections:` …)", file=path, line=1)
    return document


def _plain(node: object) -> object:
    """ruamel's objects as plain Python ones, so that pydantic sees what is written and nothing else."""
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for scalar in (bool, int, float, str):
        if isinstance(node, scalar):
            return scalar(node)
    return node


def _config_error(
    path: Path, document: Mapping[str, Any], errors: Sequence[ErrorDetails], under: Location
) -> ConfigError:
    """One error that tells all of them, in the order of the file."""
    placed: list[ErrorDetails] = [{**error, "loc": (*under, *error["loc"])} for error in errors]
    told = [error for error in placed if not _is_echo(error, placed)]
    found = sorted({(_line(document, error["loc"], len(under)), _in_words(error)) for error in told})
    (line, message), others = found[0], found[1:]
    more = "".join(f"\n  line {other}: {text}" for other, text in others)
    return ConfigError(message + more, file=path, line=line)


def _is_echo(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """What only follows from another error: a misspelt key is missing too, a list of wrong items too short too."""
    location = error["loc"]
    if error["type"] == "missing":
        return any(
            other["type"] == "extra_forbidden"
            and other["loc"][:-1] == location[:-1]
            and schema.closest(str(other["loc"][-1]), schema.keys(location[:-1])) == location[-1]
            for other in errors
        )
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in errors
    )


def _line(document: Mapping[str, Any], location: Location, above: int) -> int:
    """The line (1-based) of the deepest part of ``location`` that is in the file, whose first ``above`` parts are not."""
    line = 1
    node: Any = document
    for part in schema.without_tags(location)[above:]:
        if isinstance(node, Mapping) and part in node:
            line = node.lc.key(part)[0] + 1  # type: ignore[attr-defined]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0] + 1  # type: ignore[attr-defined]
        else:
            break  # It is missing.
        node = node[part]
    return line


#: Pydantic's kinds of error in the words of somebody who edits the file.
_WORDS = {
    "extra_forbidden": "unknown key {place}; {suggestion}",
    "missing": "{place} is missing{meaning}",
    "literal_error": "{place} must be {expected}{meaning}",
    "union_tag_invalid": "the `type` of {place} must be one of {expected_tags}",
    "union_tag_not_found": "{place} needs a `type`, one of {tags}",
    "too_short": "{place} must not be empty{meaning}",
    "string_too_short": "{place} must not be empty{meaning}",
    "value_error": "{place}: {error}",
    "string_pattern_mismatch": "{place} must match {pattern}{meaning}",
    "model_type": "{place} must be a mapping (`key: value`){meaning}",
    "dict_type": "{place} must be a mapping (`key: value`){meaning}",
    "tuple_type": "{place} must be a list{meaning}",
    "path_type": "{place} must be a path{meaning}",
    "invalid_key": "a key of {parent} is not text; put it in quotes",
}


def _in_words(error: ErrorDetails) -> str:
    location = error["loc"]
    said = error["msg"].removeprefix("Input ").replace("valid ", "")
    return _WORDS.get(error["type"], f"{{place}} {said}{{meaning}}").format(
        place=f"`{schema.written(location)}`",
        parent=f"`{schema.written(location[:-1])}`" if location[1:] else "the file",
        meaning=_meaning(location),
        suggestion=schema.suggestion(str(location[-1]), schema.keys(location[:-1])) if location else "",
        tags=", ".join(schema.tags(location)),
        **error.get("ctx", {}),
    )


def _meaning(location: Location) -> str:
    description = schema.description(location)
    return f" ({description})" if description else ""


def _resolved[M: BaseModel](model: M, base: Path) -> M:
    changes = {name: _resolve(getattr(model, name), base) for name in type(model).model_fields}
    return model.model_copy(update=changes)


def _resolve(value: Any, base: Path) -> Any:
    match value:
        case Path():
            return base / value.expanduser()
        case BaseModel():
            return _resolved(value, base)
        case tuple():
            return tuple(_resolve(item, base) for item in value)
        case _:
            return value
