"""``hoop-mitm tail``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.filters import filtering
from hoop_mitm.cli.options import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from hoop_mitm.archive import News

_SHOWN = 10


@click.command(
    epilog="""\b
Examples:
  hoop-mitm tail
  hoop-mitm tail --verdict deny
  hoop-mitm tail -n 0 --session @last
  hoop-mitm tail --json | jq -r 'select(.job) | .job.statement'
"""
)
@click.option(
    "-n", "last", type=click.IntRange(min=0), default=_SHOWN, show_default=True, help="The last so many first."
)
@click.option("--session", metavar="REF", help="Of this session only: an id, the start of one, a name, @last.")
@filtering
@reading
def tail(
    db: Path,
    *,
    as_json: bool,
    last: int,
    session: str | None,
    principal: str | None,
    connection: str | None,
    table: str | None,
    verdict: str | None,
    type_: str | None,
) -> None:
    """Follow a recording as it grows.

    Shown are jobs when they have ended or were denied, refused requests, reads without a job, and events, about two
    seconds after they happened. A job that runs for long is marked as running, and shown again when it has ended.
    With --json each is one line of JSON. A line on standard error, "Following ...", says from when on nothing is missed.
    Ctrl-C ends it, with exit status 130.
    """
    from typing import cast

    from hoop_mitm.archive import Query, shapes, watch
    from hoop_mitm.cli import terminal
    from hoop_mitm.policy.verdict import Decision

    query = Query(
        principal=principal,
        connection=connection,
        table=table,
        verdict=cast("Decision | None", verdict),
        type=type_,
    )
    for news, short in watch(db, query, session=session, last=last, say=terminal.note):
        if as_json:
            for each in news:
                terminal.print_json_line(shapes.news(each))
        else:
            terminal.print_all(_screen(news, short))


def _screen(news: "Iterable[News]", short: dict[str, str]) -> "Iterator[RenderableType]":
    from rich.console import Group
    from rich.text import Text

    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import search as render

    for each in news:
        shown = render.block(each.hit, short)
        if each.over:
            yield shown
        else:
            yield Group(shown, terminal.indented(Text("has not ended yet", style="yellow"), 10))
