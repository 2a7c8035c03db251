"""``python -m benchmarks policy_test``: how fast `hoop-mitm policy test` tries a policy on a recording."""

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from benchmarks import machine, page
from benchmarks.big_archive import make
from benchmarks.traffic import Plan
from hoop_mitm.archive import open_archive
from hoop_mitm.config import RuleSet
from hoop_mitm.policy import Policy
from hoop_mitm.policy.trying import details_of, tried

TARGET = 5_000
"""Recorded jobs a second, with reading them."""

_PER_JOB, _PER_SESSION = 4, 40
_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
_RULES = {
    "rules": [
        {"name": "salaries", "verdict": "deny", "tables": ["hr.*"]},
        {"name": "wide", "verdict": "deny", "when": "verb == 'admin' && size(tables) > 3"},
        {"name": "large", "verdict": "review", "over_bytes": "1TB", "review": {"groups": ["reviewers"]}},
        {"name": "analysts", "verdict": "allow", "groups": ["analysts"], "read_only": True},
        {"name": "pipelines", "verdict": "allow", "groups": ["pipelines"]},
    ]
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes a recording, and tries a few rules on it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks policy_test", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, metavar="N", help="jobs in the recording")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    options = parser.parse_args(arguments)
    policy = Policy(RuleSet.model_validate(_RULES))
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "hoop.duckdb"
        flows = options.jobs * _PER_JOB
        make(archive, Plan(flows, options.jobs, max(1, flows // _PER_SESSION)))
        about = machine.describe(Path(directory))
        began = time.perf_counter()
        with open_archive(archive) as recording:
            jobs = recording.ledger.decided(_SINCE, details_of(policy))
        read = time.perf_counter() - began
        trial = tried(policy, jobs, Decimal)
        took = time.perf_counter() - began
    text = (
        f"# Trying a policy on a recording\n\n`python -m benchmarks policy_test --jobs {options.jobs}`\n\n{about}\n\n"
        f"{trial.jobs:,} jobs in {took:.2f} s ({read:.2f} s of it reading): {trial.jobs / took:,.0f} jobs/s; "
        f"the target is {TARGET:,}. {sum(each.jobs for each in trial.changed):,} of them would be decided otherwise.\n"
    )
    print(text)
    if options.write:
        page.write(text)
    return 0
