"""Questions as tests ask them, in memory."""

from datetime import UTC, datetime

from hoop_mitm.bigquery import Door, Operation, TableRef
from hoop_mitm.config import RuleSet
from hoop_mitm.identity import Principal
from hoop_mitm.policy import Estimate, Policy, Question
from hoop_mitm.sql import understand

ALICE = Principal("https://issuer.example", "00u1", "alice@acme.example", ("analysts",))
BOB = Principal("https://issuer.example", "00u2", "bob@acme.example", ("analysts", "reviewers"))
CI = Principal("https://issuer.example", "ci", None, ("pipelines",), "machine")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def policy(*rules, mode="enforce"):
    """Rules in short: those without a name are called by their place."""
    named = [{"name": f"r{place}", **rule} for place, rule in enumerate(rules, 1)]
    return Policy(RuleSet.model_validate({"mode": mode, "rules": named}))


def query(sql, who=ALICE, *, size=None, tables=None, dry_run=False, legacy=False, accuracy="PRECISE", **more):
    """A query job. ``size``, ``tables``: what BigQuery's dry run has said."""
    facts = understand(sql, project="acme", default_dataset=("acme", "shop"), legacy=legacy)
    job = Operation(
        Door("jobs.query", "admin", body="json"),
        "acme",
        statement=sql,
        dry_run=dry_run,
        job_type="query",
        legacy_sql=legacy,
        **{name: more.pop(name) for name in ("destination", "labels", "body") if name in more},
    )
    estimate = None
    if size is not None:
        referenced = facts.reads if tables is None else tuple(ref(name) for name in tables)
        estimate = Estimate(size, facts.kinds[0], referenced, accuracy=accuracy)
    return Question(who, "acme", job, facts, estimate, at=more.pop("at", NOON), **more)


def call(name, kind, *tables, who=ALICE, **more):
    """Another call than a query."""
    refs = tuple(ref(table) for table in tables)
    datasets = more.pop("datasets", tuple(dict.fromkeys(f"{table.project}.{table.dataset}" for table in refs)))
    return Question(who, "acme", Operation(Door(name, kind), "acme", tables=refs, datasets=datasets, **more), at=NOON)


def ref(name):
    return TableRef(*name.split("."))
