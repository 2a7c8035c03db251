"""``python -m benchmarks policy``: what it takes to understand a statement and to rule on it, known texts and new ones."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import gateway, machine, page
from benchmarks.report import table
from benchmarks.results import Case, Results, Sample
from benchmarks.statements import Asked, corpus
from benchmarks.surroundings import Surroundings
from benchmarks.variants import Gateway, Variant
from hoop_mitm.bigquery import Door, Operation
from hoop_mitm.config.policy import RuleSet
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy import Policy, Question
from hoop_mitm.sql import StatementFacts, Understanding, understand

HERE, APART, KNOWN, RULED = "new text, this process", "new text, its process", "known text", "the rules"
NEW, AGAIN = "new text, its process, and the rules", "known text, and the rules"
TARGETS = {NEW: 20.0, AGAIN: 0.2}

_MS = 1e3
_PRINCIPAL = Principal("https://login.acme.example", "u-1", "ada@acme.example", groups=("analysts", "everybody"))
_RULES = {
    "rules": [
        {"name": "admins", "verdict": "allow", "groups": ["admins"]},
        {"name": "no-exports", "verdict": "deny", "kinds": ["EXPORT_DATA", "EXPORT_MODEL"]},
        {"name": "no-salaries", "verdict": "deny", "tables": ["acme.hr.*", "acme-prod.hr.*"], "behind_views": False},
        {"name": "etl", "verdict": "allow", "principals": ["etl@acme.example"], "tables": ["acme.raw.*"]},
        {
            "name": "weekends",
            "verdict": "deny",
            "when": "verb == 'admin' && now.getDayOfWeek('Europe/Berlin') in [0, 6]",
        },
        {"name": "analysts", "verdict": "allow", "groups": ["analysts"], "read_only": True},
    ]
}

_WITHOUT, _WITH = "no policy", "policy"

_READING = """\
## How to read it

A figure is of all statements in all rounds. They have {shapes} shapes, from a peek into a table to the chains that dbt
compiles and scripts; the median has {median:,} characters, the longest {longest:,}. Each is understood without exception.

- *new text* is what a statement costs the first time: cut into words, parsed, checked. The gateway does it in a process
  of its own (*its process*: with the way there and back), which is ended when a statement takes too long.
- *known text* is every other time: facts are kept by text, project and default dataset.
- *the rules* are {rules} rules, one with a condition in CEL. Asking BigQuery for an estimate, where a rule wants one, is
  another request and not in here.
- *In the gateway* every statement is a new one: two gateways, with and without these rules, are asked in turn, and the
  share is that of the rounds' own ratios. *CPU* is of the gateway's process; what its processes for statements take comes
  on top, and is the *new text* above.
"""


@dataclass(slots=True)
class Figures:
    """Seconds for one statement each, by what was done."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def of(self, name: str, share: float) -> float:
        """The time within which this share of all stays, in milliseconds."""
        ordered = sorted(self.seconds[name])
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * _MS

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)


def measure(statements: Sequence[Asked], rounds: int) -> Figures:
    """Every statement in every round in every way."""
    figures = Figures()
    policy = Policy(RuleSet.model_validate(_RULES))
    for number in range(rounds):
        # Another project makes it another question, which is not known yet.
        project = f"acme-{number}"
        for asked in statements:
            _, took = _timed(partial(understand, asked.statement, project=project))
            figures.add(HERE, took)
        asyncio.run(_as_the_gateway(figures, statements, project, policy))
    return figures


async def _as_the_gateway(figures: Figures, statements: Sequence[Asked], project: str, policy: Policy) -> None:
    understanding = Understanding()
    await understanding.warm()
    try:
        for asked in statements:
            began = time.perf_counter()
            await understanding.of(asked.statement, project=project)
            new = time.perf_counter() - began
            began = time.perf_counter()
            facts = await understanding.of(asked.statement, project=project)
            known = time.perf_counter() - began
            question = _question(asked.statement, project, facts)
            _, ruled = _timed(partial(policy.decide, question))
            for name, took in (
                (APART, new),
                (KNOWN, known),
                (RULED, ruled),
                (NEW, new + ruled),
                (AGAIN, known + ruled),
            ):
                figures.add(name, took)
    finally:
        understanding.close()
        await understanding.closed()


def _question(statement: str, project: str, facts: StatementFacts) -> Question:
    operation = Operation(Door("jobs.query", "admin", body="json"), project, statement=statement)
    return Question(_PRINCIPAL, "warehouse", operation, facts)


def _timed[T](work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def in_the_gateway(directory: Path, rounds: int, seconds: float) -> Results:
    """Two gateways, with a policy and without, asked for answers of 2 KB."""
    cases = [Case("statement", "2k", connections) for connections in (1, 16)]
    results = Results(_WITHOUT, _WITHOUT)
    with Surroundings(directory, large=2**20, stream=2**20) as surroundings:
        variants: list[Variant] = [
            Gateway(surroundings, directory / "without", _WITHOUT),
            Gateway(surroundings, directory / "with", _WITH, policy=_RULES),
        ]
        with ExitStack() as running:
            for variant in variants:
                running.enter_context(variant)
            asyncio.run(gateway.measure(results, variants, cases, rounds, seconds))
    return results


def _shares(results: Results) -> str:
    head = ["connections", "through", "req/s", "p50 ms", "p99 ms", "CPU ms", "share of p50", "share of CPU"]
    rows = []
    for case in results.cases:
        for name in (_WITHOUT, _WITH):
            figures = (f"{results.median(name, case, figure) * _MS:.2f}" for figure in (_p50, _p99, _cpu))
            shares = (f"{1 - 1 / results.ratio(name, case, figure):.0%}" for figure in (_p50, _cpu))
            rate = f"{results.median(name, case, _rate):.0f}"
            rows.append([str(case.connections), name, rate, *figures, *(shares if name == _WITH else ("-", "-"))])
    return table(head, rows)


def _rate(sample: Sample) -> float:
    return sample.rate


def _p50(sample: Sample) -> float:
    return sample.p50


def _p99(sample: Sample) -> float:
    return sample.p99


def _cpu(sample: Sample) -> float:
    return sample.cpu


def render(figures: Figures, statements: Sequence[Asked], results: Results) -> str:
    """Everything as Markdown."""
    rows = [
        [
            name,
            *(f"{figures.of(name, share):.3f}" for share in (0.5, 0.9, 0.99, 1)),
            f"{TARGETS[name]:.1f}" if name in TARGETS else "-",
        ]
        for name in (HERE, APART, KNOWN, RULED, NEW, AGAIN)
    ]
    lengths = sorted(len(asked.statement) for asked in statements)
    reading = _READING.format(
        shapes=len({asked.shape for asked in statements}),
        median=lengths[len(lengths) // 2],
        longest=lengths[-1],
        rules=len(_RULES["rules"]),
    )
    head = ["what", "p50 ms", "p90 ms", "p99 ms", "most ms", "target p99"]
    return "\n\n".join(
        [f"## {len(statements)} statements", table(head, rows), "## In the gateway", _shares(results), reading]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints; exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks policy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is asked")
    parser.add_argument("--statements", type=int, metavar="N", help="only so many of them")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each gateway in each case and round")
    parser.add_argument("--dir", type=Path, help="where journals and archives go: the disk that is measured too")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    options = parser.parse_args(arguments)
    statements = corpus()[: options.statements]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="hoop-bench-") as name:
        about = machine.describe(Path(name))
        understand("SELECT 1", project="warm")
        figures = measure(statements, options.rounds)
        results = in_the_gateway(Path(name), options.rounds, options.seconds)
    asked = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python -m benchmarks policy", *asked])
    text = (
        f"# What the policy costs\n\n`{command}`, {time.monotonic() - began:.0f} s\n\n{about}\n\n"
        f"{render(figures, statements, results)}"
    )
    print(text)
    if options.write:
        page.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
