"""How things look on a terminal.

Everything in a recording was written by somebody else, so nothing of it may steer the terminal it is shown on:
control and direction characters are made visible, and markup is never interpreted.
"""

import json
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from hoop_mitm.archive import words
from hoop_mitm.archive.values import plain
from hoop_mitm.bigquery.rows import Field

_PIPED_WIDTH = 140
_LONGEST_CELL = 200

safe = words.visible
size, price, took, count = words.size, words.price, words.took, words.count


def console() -> Console:
    """Standard output. Colour only on a terminal, and not with ``NO_COLOR`` (rich sees to both)."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_all(parts: Iterable[RenderableType]) -> None:
    """Print each part as it comes."""
    screen = console()
    for part in parts:
        if screen.is_terminal:
            screen.print(part)
            continue
        # Rich fills lines up with spaces, which a file or a program has no use for.
        with screen.capture() as capture:
            screen.print(part)
        click.echo("\n".join(line.rstrip() for line in capture.get().split("\n")), nl=False)
        sys.stdout.flush()


def say_pending(records: int | None) -> None:
    """That the archive is not the whole yet, on standard error."""
    if records is None:
        click.echo(
            "The journal beside the recording cannot be folded by this user: newer records may lie there.", err=True
        )
    elif records:
        click.echo(f"{count(records, 'newer record')} lie in the journal still and are not shown here.", err=True)


def note(text: str) -> None:
    """A sentence on standard error, also where nobody sits before it."""
    click.echo(safe(text), err=True)


def print_json(value: object) -> None:
    """``value`` as JSON that a terminal cannot be steered by either."""
    click.echo(_json(value, indent=2))


def print_json_line(value: object) -> None:
    """``value`` as one line of JSON, out at once."""
    click.echo(_json(value, indent=None))
    sys.stdout.flush()


def _json(value: object, indent: int | None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return words.STEERING.sub(lambda match: json.dumps(match[0])[1:-1], text)


def hint(*lines: str) -> None:
    """What to do next, for people: on standard error, so that standard output is data only."""
    errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if errors.is_terminal:
        for line in lines:
            errors.print(Text(line, style="dim"))


def sql(statement: str, *, lines: int | None = None) -> RenderableType:
    """A highlighted statement, cut to ``lines``."""
    all_lines = safe(statement).strip("\n").expandtabs(4).splitlines()
    shown = all_lines if lines is None or len(all_lines) <= lines else all_lines[: lines - 1]
    syntax = Syntax("\n".join(shown), "sql", theme="ansi_dark", background_color="default", word_wrap=True)
    if len(shown) == len(all_lines):
        return syntax
    return Group(syntax, Text(f"… {len(all_lines) - len(shown)} more lines", style="dim"))


def one_line(statement: str, width: int = 100) -> str:
    text = safe(" ".join(statement.split()))
    return text if len(text) <= width else text[: width - 1] + "…"


def rows_table(columns: Iterable[Field], rows: Iterable[Iterable[Any]], styles: Iterable[str] = ()) -> Table:
    """A result. Numbers stand right; NULL is told from the text ``NULL`` by its colour."""
    table = Table(show_edge=False, header_style="bold", pad_edge=False)
    for column in columns:
        right = column.type in _NUMBERS and column.mode != "REPEATED"
        table.add_column(Text(safe(column.name)), justify="right" if right else "left", overflow="fold")
    for row, style in zip(rows, [*styles] or _forever(), strict=False):
        table.add_row(*(cell(value) for value in row), style=style)
    return table


_NUMBERS = {"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}


def _forever() -> Iterable[str]:
    while True:
        yield ""


def cell(value: object) -> Text:
    """One value of a result."""
    if value is None:
        return Text("NULL", style="dim italic")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return Text(f"{value:%Y-%m-%d %H:%M:%S}" + (f".{value.microsecond:06}" if value.microsecond else "") + "Z")
    shown = plain(value)
    text = safe(shown if isinstance(shown, str) else _compact(shown))
    return Text(text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…")


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def clock(at: datetime) -> str:
    """Time of day in the reader's own zone."""
    return f"{at.astimezone():%H:%M:%S}"


def day_and_clock(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def span(start: datetime, end: datetime) -> str:
    """``2026-11-22 14:03:22 to 14:03:31 CET``, in the reader's own zone."""
    first, last = start.astimezone(), end.astimezone()
    until = clock(end) if first.date() == last.date() else day_and_clock(end)
    return f"{day_and_clock(start)} to {until} {last:%Z}"


def indented(what: RenderableType, by: int = 4) -> Padding:
    return Padding(what, (0, 0, 0, by), expand=False)
