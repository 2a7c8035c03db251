"""``hoop-mitm diff``."""

from contextlib import ExitStack
from pathlib import Path

import click

from hoop_mitm.cli.options import reading, refuse_to_overwrite, session_argument
from hoop_mitm.cli.parameters import Finite

_SAMPLES = 10
_COST = 10.0


@click.command(
    epilog="""\b
Examples:
  hoop-mitm diff @last~1 @last
  hoop-mitm diff nightly~1 nightly~0 --key id --samples 50
  hoop-mitm diff nightly @last --ignore updated_at --ignore customer.seen --float-tolerance 1e-9
  hoop-mitm diff nightly nightly --db-a monday.duckdb --db-b tuesday.duckdb --html diff.html
  hoop-mitm diff @last~1 @last --json | jq '.jobs[] | select(.change != "same")'
"""
)
@session_argument("a")
@session_argument("b")
@click.option(
    "--db-a", type=click.Path(path_type=Path), metavar="PATH", help="The recording that A lies in, where it is another."
)
@click.option(
    "--db-b", type=click.Path(path_type=Path), metavar="PATH", help="The recording that B lies in, where it is another."
)
@click.option(
    "--key",
    multiple=True,
    metavar="COL[,COL]",
    help="Columns that pair rows, dotted inside of records; else a unique column is looked for, or two.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="COL|FUNC()",
    help="A column, dotted inside of records, or a function whose columns are not compared. As often as needed.",
)
@click.option(
    "--all-columns",
    is_flag=True,
    help="Compare also what is computed from CURRENT_TIMESTAMP(), SESSION_USER(), GENERATE_UUID(), RAND() and the like.",
)
@click.option(
    "--float-tolerance",
    type=Finite(min=0, max=1),
    default=0.0,
    show_default=True,
    help="The part of the larger by which two FLOAT64 may differ.",
)
@click.option(
    "--cost-tolerance",
    type=Finite(min=0),
    default=_COST,
    show_default=True,
    metavar="PERCENT",
    help="By how much the bytes billed may differ.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=_SAMPLES,
    show_default=True,
    help="How many rows of each kind of change to show.",
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a page to read; - is stdout."
)
@click.option(
    "--exit-code/--no-exit-code", default=True, show_default=True, help="Say by exit status 1 that it is not the same."
)
@reading
def diff(
    a: str,
    b: str,
    db: Path,
    *,
    as_json: bool,
    db_a: Path | None,
    db_b: Path | None,
    key: tuple[str, ...],
    ignore: tuple[str, ...],
    all_columns: bool,
    float_tolerance: float,
    cost_tolerance: float,
    samples: int,
    html: Path | None,
    exit_code: bool,
) -> None:
    """Say what changed from session A to session B.

    Jobs are aligned by their statements: named are those that only one session has, that moved or were edited, and what differs in verdict, error, tables read, cost, schema and rows. Job ids, times and slot time make no difference.
    Exit status 0: the same; 1: different, or not everything could be compared and nothing differs.
    """
    if html is not None and str(html) == "-" and as_json:
        raise click.UsageError("--html - and --json both write to standard output. Give --html a file.")

    from hoop_mitm.archive import open_archive
    from hoop_mitm.archive.comparing import Options, Ways, page, shape, varying
    from hoop_mitm.archive.comparing import diff as compare
    from hoop_mitm.archive.opening import file_of
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.output import writing
    from hoop_mitm.cli.progress import progress
    from hoop_mitm.cli.render import diff as render

    options = Options(
        Ways(tuple(name for each in key for name in each.split(",") if name), ignore, float_tolerance, samples),
        () if all_columns else varying.FUNCTIONS,
        cost_tolerance / 100,
    )
    first, second = file_of(db_a or db), file_of(db_b or db)
    for recording in {first, second}:
        refuse_to_overwrite(recording, html)
    with ExitStack() as opened, progress("Comparing") as say:
        archive = opened.enter_context(open_archive(first))
        other = archive if second.resolve() == first.resolve() else opened.enter_context(open_archive(second))
        for each in {archive, other}:
            terminal.say_pending(each.pending)
        found = compare(
            archive,
            archive.find(a),
            other.find(b),
            options,
            other=other,
            progress=lambda done, of: say(f"Comparing job {done + 1:,} of {of:,}"),
        )
    if html is not None:
        with writing(html) as file:
            for piece in page.write(found, (first.name, second.name)):
                file.write(piece)
        if str(html) != "-":
            terminal.hint(f"{html}: open it in a browser; it needs no network.")
    if as_json:
        terminal.print_json(shape.of_sessions(found))
    elif html is None or str(html) != "-":
        terminal.print_all(render.whole(found))
    click.get_current_context().exit(0 if found.same or not exit_code else 1)
