"""``hoop-mitm policy``: what rules say, before they are in force."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoop_mitm.cli.options import config_option, db_option, json_option
from hoop_mitm.cli.parameters import When
from hoop_mitm.cli.progress import progress

if TYPE_CHECKING:
    from hoop_mitm.config import Config, RuleSet
    from hoop_mitm.identity import Principal

_MONTH = timedelta(days=30)
_HERE = (Path("hoop.yaml"), Path("sandbox/hoop.yaml"))

_policy_option = click.option(
    "--policy",
    "rules_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="These rules instead of the configuration's: a file with `rules`, or another hoop.yaml.",
)


@click.group(
    epilog="""\b
Examples:
  hoop-mitm policy check
  hoop-mitm policy explain --as alice@acme.com --groups analysts -- "DELETE FROM shop.orders WHERE true"
  hoop-mitm policy test --since 30d --policy new-policy.yaml
"""
)
def policy() -> None:
    """Check rules, see what they say of a statement, and try them on what was recorded.

    Nothing here changes what is in force: the gateway reads its own file, and does so again whenever that changes.
    """


@policy.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@json_option
def check(file: Path | None, *, as_json: bool) -> None:
    """Say whether a policy is valid, and what is odd about it.

    FILE is a hoop.yaml, or a file that holds rules alone; without it, hoop.yaml in this directory (or $HOOP_CONFIG). The exit
    status is 2 when it is not valid. Warnings are about rules that can never match, or never decide because of one above them.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.policy.checking import NOT_LOOKED_FOR, warnings
    from hoop_mitm.policy.policy import Policy

    path = file or _config_file(None)
    rules = _rules_in(path)
    version, found = Policy(rules).version, warnings(rules)
    if as_json:
        terminal.print_json({"file": str(path), "policy": version, "rules": len(rules.rules), "warnings": list(found)})
        return
    click.echo(f"{path}: {terminal.count(len(rules.rules), 'rule')}, valid (policy {version}).")
    for warning in found:
        click.echo(f"warning: {warning}")
    click.echo(NOT_LOOKED_FOR, err=True)


@policy.command(
    epilog="""\b
Examples:
  hoop-mitm policy explain --as alice@acme.com --groups analysts -- "SELECT * FROM shop.orders"
  hoop-mitm policy explain --as alice --bytes 40TB --json -- "SELECT * FROM shop.events" | jq .verdict
"""
)
@click.argument("statement", nargs=-1, required=True, metavar="-- SQL")
@click.option("--as", "name", default="somebody", metavar="WHO", help="Who asks: an e-mail address or a subject.")
@click.option("--groups", metavar="G,…", help="The groups that they are in; known for people of the sandbox.")
@click.option("--connection", metavar="NAME", help="Through which connection; default the first one.")
@click.option("--project", metavar="ID", help="The project it would run in; default the connection's first.")
@click.option("--dataset", metavar="NAME", help="The dataset of tables that are named without one.")
@click.option(
    "--bytes", "size", metavar="SIZE", help="Suppose that it would read so much (10GB); BigQuery is not asked."
)
@click.option("--dry-run", is_flag=True, help="Suppose that BigQuery is only asked for an estimate.")
@_policy_option
@config_option
@json_option
def explain(
    statement: tuple[str, ...],
    *,
    name: str,
    groups: str | None,
    connection: str | None,
    project: str | None,
    dataset: str | None,
    size: str | None,
    rules_file: Path | None,
    config: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Say what the policy would say of a statement, rule by rule.

    BigQuery is not asked: what lies behind views is not seen, and how much it would read is what --bytes says. The exit status
    is 1 when it is denied.
    """
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import policy as render
    from hoop_mitm.policy import shapes
    from hoop_mitm.policy.policy import Policy
    from hoop_mitm.policy.supposing import suppose

    known = _config(config)
    decided_by = Policy(_rules(known, rules_file))
    question = suppose(
        known,
        " ".join(statement),
        _principal(
            known, name, None if groups is None else [each.strip() for each in groups.split(",") if each.strip()]
        ),
        connection=connection,
        project=project,
        dataset=dataset,
        processed=_bytes(size),
        dry_run=dry_run,
    )
    explanation = decided_by.explain(question)
    if as_json:
        terminal.print_json(shapes.explained(decided_by, question, explanation))
    else:
        terminal.print_all(render.explained(decided_by, question, explanation))
    if explanation.ruling.verdict.decision == "deny":
        raise SystemExit(1)


@policy.command(
    epilog="""\b
Exit status: 0 when nothing would have been decided otherwise, 1 when something would.

\b
Examples:
  hoop-mitm policy test --since 30d --policy new-policy.yaml
  hoop-mitm policy test --since 7d --json | jq '.changes[] | select(.change == "newly denied")'
"""
)
@click.option(
    "--since", type=When(), metavar="TIME", help="Jobs of this time and later: 2026-11-22, 7d, 26h; default 30d."
)
@_policy_option
@config_option
@db_option
@json_option
def test(since: datetime | None, rules_file: Path | None, config: Path | None, db: Path, *, as_json: bool) -> None:
    """Say what a policy would have decided otherwise about the jobs of a recording.

    Compared is with what was decided then. Only jobs are looked at (queries, loads, copies, extracts), not other calls.
    """
    from hoop_mitm.archive import open_archive
    from hoop_mitm.cli import terminal
    from hoop_mitm.cli.render import policy as render
    from hoop_mitm.policy import shapes
    from hoop_mitm.policy.cost import Prices
    from hoop_mitm.policy.policy import Policy
    from hoop_mitm.policy.trying import details_of, tried

    known = _config(config)
    candidate = Policy(_rules(known, rules_file))
    prices = Prices(known.cost.price_per_tib, known.cost.currency)
    with progress("Reading the recording") as say:
        with open_archive(db) as archive:
            pending = archive.pending
            jobs = archive.ledger.decided((since or datetime.now(UTC) - _MONTH).astimezone(UTC), details_of(candidate))
        say("Trying the policy")
        trial = tried(candidate, jobs, prices.of)
    terminal.say_pending(pending)
    if as_json:
        terminal.print_json(shapes.tried(trial, prices.currency))
    else:
        terminal.print_all(render.tried(trial, prices))
    if trial.changed:
        raise SystemExit(1)


def _config_file(config: Path | None) -> Path:
    import os

    if config is not None:
        return config
    if named := os.environ.get("HOOP_CONFIG"):
        return Path(named)
    return next((path for path in _HERE if path.exists()), _HERE[0])


def _config(config: Path | None) -> "Config":
    """The configuration; where there is none at all, the sandbox's."""
    from hoop_mitm.config import load

    path = _config_file(config)
    if config is None and not path.exists():
        from hoop_mitm.devkit.gateway_config import supposed

        click.echo("There is no hoop.yaml here: what follows is by the sandbox's.", err=True)
        return supposed()
    return load(path)


def _rules(config: "Config", rules_file: Path | None) -> "RuleSet | None":
    from hoop_mitm.config import rules_of

    rules = rules_of(config) if rules_file is None else _rules_in(rules_file)
    if rules is None:
        click.echo("This configuration has no policy: everything is allowed.", err=True)
    return rules


def _rules_in(path: Path) -> "RuleSet":
    """The rules in a hoop.yaml, or in a file of their own."""
    from hoop_mitm.config import load, load_rules, rules_of
    from hoop_mitm.config.loader import document
    from hoop_mitm.errors import ConfigError

    said = document(path)
    if isinstance(said, dict) and "rules" in said:
        return load_rules(path)
    rules = rules_of(load(path))
    if rules is None:
        raise ConfigError("it has no `policy`: everything is allowed, and recorded", file=path)
    return rules


def _principal(config: "Config", name: str, groups: list[str] | None) -> "Principal":
    from hoop_mitm.devkit.gateway_config import person
    from hoop_mitm.policy.supposing import principal_of

    if groups is None and (known := person(config, name)):
        return known
    principal, is_known = principal_of(config, name, groups)
    if not is_known:
        click.echo(f"Which groups {name} is in is not known here: say it with --groups.", err=True)
    return principal


def _bytes(size: str | None) -> int | None:
    from pydantic import TypeAdapter, ValidationError

    from hoop_mitm.config.basics import Bytes

    if size is None:
        return None
    try:
        return TypeAdapter(Bytes).validate_python(size)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, "), param_hint="--bytes") from None
