"""Variables as text that a shell, or another program, takes exactly as they are meant."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping

type Writer = Callable[[Mapping[str, str], Iterable[str]], str]

# PowerShell takes typographic quotes for quotes.
_POWERSHELL_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")


def sh(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """Lines for POSIX shells, bash and zsh."""
    lines = [f"unset {name}" for name in unset]
    return _lines(lines + [f"export {name}={shlex.quote(value)}" for name, value in variables.items()])


def fish(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """Lines for fish."""
    lines = [f"set --erase {name};" for name in unset]
    return _lines(lines + [f"set --global --export {name} {_fish(value)};" for name, value in variables.items()])


def powershell(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """Lines for PowerShell."""
    lines = [f"Remove-Item -ErrorAction Ignore Env:{name}" for name in unset]
    return _lines(lines + [f"$Env:{name} = {_powershell(value)}" for name, value in variables.items()])


def dotenv(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """A ``.env`` file. It can unset nothing: what has to be unset is named in a comment.

    Raises:
        ValueError: a value has line breaks, or quotes and backslashes that such files have no common way to write.
    """
    lines = [f"# {name} must not be set." for name in unset]
    return _lines(lines + [f"{name}={_dotenv(value)}" for name, value in variables.items()])


def as_json(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """One JSON object; what is to be unset is null, as in an editor's settings."""
    return json.dumps({**dict.fromkeys(unset), **variables}, indent=2) + "\n"


WRITERS: Mapping[str, Writer] = {
    "sh": sh,
    "fish": fish,
    "powershell": powershell,
    "dotenv": dotenv,
    "json": as_json,
}


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    return "'" + _POWERSHELL_QUOTES.sub(lambda quote: quote[0] * 2, value) + "'"


def _dotenv(value: str) -> str:
    # Readers differ in what they expand and unescape; in these forms none does.
    if not re.search(r"['\r\n]|\\\\|\\$", value):
        return f"'{value}'"
    if not re.search(r'["\\$`\r\n]', value):
        return f'"{value}"'
    raise ValueError("a .env file cannot hold this value")


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
