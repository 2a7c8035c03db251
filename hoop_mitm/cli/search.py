"""``hoop-mitm search``."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.filters import filtering
from hoop_mitm.cli.options import reading
from hoop_mitm.cli.parameters import HOW_MANY, Size, When

if TYPE_CHECKING:
    from hoop_mitm.archive import Cursor, Hit, Page, Query

_SHOWN = 50
_ALL_AT_ONCE = 1000


@click.command(
    epilog="""\b
Examples:
  hoop-mitm search salaries
  hoop-mitm search "drop table" --verdict deny --since 7d
  hoop-mitm search --table 'hr.*' --principal alice@ --until 2026-11-01
  hoop-mitm search alice@example.com --rows --since yesterday
  hoop-mitm search --min-bytes 1TiB --json | jq '.hits[].job.statement'
"""
)
@click.argument("text", required=False)
@click.option("--rows", "in_rows", is_flag=True, help="Look into the rows that clients got, too. Slow: narrow it down.")
@filtering
@click.option(
    "--since", type=When(), metavar="TIME", help="Asked then or later: 2026-11-22, 2026-11-22T14:00, 7d, 12h."
)
@click.option("--until", type=When(end=True), metavar="TIME", help="Asked before then; a day is meant with its end.")
@click.option("--min-bytes", type=Size(), metavar="SIZE", help="Read, or without a job brought, so much: 500MB, 10GiB.")
@click.option("--limit", type=HOW_MANY, default=_SHOWN, show_default=True, help="How many; 0 for all.")
@click.option("--before", metavar="NEXT", help="Go on from there: what the page before called `next`.")
@reading
def search(
    text: str | None,
    db: Path,
    *,
    as_json: bool,
    in_rows: bool,
    principal: str | None,
    connection: str | None,
    table: str | None,
    since: datetime | None,
    until: datetime | None,
    verdict: str | None,
    type_: str | None,
    min_bytes: int | None,
    limit: int,
    before: str | None,
) -> None:
    """Find statements, tables, errors, people and labels in all sessions, newest first.

    TEXT may stand anywhere in them, in any case; options narrow it down, or search without it.
    Exit status 0: found; 1: nothing was found.
    """
    if text == "":
        text = None
    if in_rows and text is None:
        raise click.UsageError("--rows needs TEXT: what should stand in the rows?")

    import shlex
    from typing import cast

    from hoop_mitm.archive import Cursor, Page, Query, shapes
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import search as render
    from hoop_mitm.policy.verdict import Decision

    query = Query(
        text=text,
        rows=in_rows,
        principal=principal,
        connection=connection,
        table=table,
        since=since,
        until=until,
        verdict=cast("Decision | None", verdict),
        type=type_,
        min_bytes=min_bytes,
    )
    hits, following, short = _collect(db, query, limit, Cursor.parse(before) if before else None)
    if as_json:
        terminal.print_json(shapes.page(Page(tuple(hits), following)))
    else:
        terminal.print_all(render.hits(hits, short, text))
        if not hits:
            terminal.hint("Nothing was found." if not before else "Nothing more was found.")
        elif following:
            terminal.hint(
                f"There is more: add --before {shlex.quote(terminal.safe(str(following)))}, or --limit 0 for all."
            )
        else:
            terminal.hint("`hoop-mitm show SESSION --job NUMBER` tells all about one.")
    click.get_current_context().exit(0 if hits else 1)


def _collect(
    db: Path, query: "Query", limit: int, before: "Cursor | None"
) -> "tuple[list[Hit], Cursor | None, dict[str, str]]":
    """The hits of as many pages as it takes, where the next begins, and short ids. The gateway may write in between."""
    from hoop_mitm.archive import open_archive
    from hoop_mitm.cli import terminal

    hits: list[Hit] = []
    place = before
    while True:
        with open_archive(db) as archive:
            if place == before:
                terminal.say_pending(archive.pending)
            page: Page = archive.search(query, limit=limit - len(hits) if limit else _ALL_AT_ONCE, before=place)
            hits += page.hits
            place = page.next
            if place is None or (limit and len(hits) >= limit):
                return hits, place, archive.short_ids()
