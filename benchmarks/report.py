"""Results as tables, for the terminal and for RESULTS.md."""

from collections.abc import Sequence

from benchmarks.answers import SIZES
from benchmarks.results import Case, Figure, Results

_MS = 1e3
_MIB = 2**20
_NONE = "-"

_READING = """\
## How to read it

All variants are asked in turn, round by round, on the same upstream. A figure is the median of the rounds; a ratio is
that of the rounds' own ratios to bare `mitmdump -q`, which is 1.00.

- *statement* is a `jobs.query`: the gateway has an intent on the disk before it leaves, and the exchange before its
  answer goes on, so two commits one after the other. *page* is a `jobs.getQueryResults` of the caller's own job: one
  commit. Every request and every answer is different; answers are not compressed.
- Connections are kept alive, and each asks again as soon as it has its answer. With 16 of them latency is for the most
  part waiting for the other 15: it says the same as the rate. For what the gateway adds to a request, read the rows
  with one connection. *added* is latency less that of the same requests without a proxy (*direct*).
- *CPU* is of the proxy's process, all its threads, for one answer. *fold CPU* is of the gateway's child process that
  brings the journal into the DuckDB archive, until it has caught up, and comes on top (*with fold*). It wakes once a
  second and opens the archive, so it costs an answer the more the fewer there are.
- Client and upstream run on the same cores as the proxy.
- *One large answer*: peak memory of a proxy that was just started. *streaming* is `--set stream_large_bodies=1m`, which
  keeps nothing and records nothing. *read slowly* is by a client that rests a fifth of a second before each of its first
  20 messages of a MiB, and so takes four seconds longer.
"""


def render(results: Results) -> str:
    """Everything as Markdown."""
    recorded = (
        f"All {results.answers:,} answers that came through the gateway ({results.size:,} bytes, warm-up and all) were found in "
        "its archive, each with its body."
    )
    parts = ["## Ratios to bare mitmdump", _ratios(results), "## Measured", _measured(results), recorded]
    if results.passages:
        parts += ["## One large answer", _passages(results)]
    return "\n\n".join([*parts, _READING])


def _ratios(results: Results) -> str:
    others = [variant for variant in results.variants if variant not in (results.direct, results.bare)]
    figures: dict[str, Figure] = {
        "req/s": lambda s: s.rate,
        "CPU": lambda s: s.cpu,
        "with fold": lambda s: s.cpu + s.fold_cpu,
        "p50": lambda s: s.p50,
        "p99": lambda s: s.p99,
    }
    head = [
        "asked",
        "conn.",
        *(f"{other.removeprefix(results.bare).strip()}: {name}" for other in others for name in figures),
    ]
    rows = [
        [_asked(case), str(case.connections)]
        + [f"{results.ratio(other, case, figure):.2f}" for other in others for figure in figures.values()]
        for case in results.cases
    ]
    return table(head, rows)


def _measured(results: Results) -> str:
    head = ["asked", "conn.", "through", "req/s", "p50 ms", "p99 ms", "added p50", "added p99", "CPU ms", "fold CPU ms"]
    return table(head, [_row(results, case, variant) for case in results.cases for variant in results.variants])


def _row(results: Results, case: Case, variant: str) -> list[str]:
    def ms(figure: Figure) -> str:
        return f"{results.median(variant, case, figure) * _MS:.2f}"

    def added(figure: Figure) -> str:
        return _NONE if variant == results.direct else f"{results.added(variant, case, figure) * _MS:.2f}"

    rate = f"{results.median(variant, case, lambda s: s.rate):.0f}"
    cpu = _NONE if variant == results.direct else ms(lambda s: s.cpu)
    fold = ms(lambda s: s.fold_cpu) if results.median(variant, case, lambda s: s.fold_cpu) else _NONE
    latencies = [ms(lambda s: s.p50), ms(lambda s: s.p99), added(lambda s: s.p50), added(lambda s: s.p99)]
    return [_asked(case), str(case.connections), variant, rate, *latencies, cpu, fold]


def _passages(results: Results) -> str:
    head = ["asked", "through", "MiB", "seconds", "RSS before", "RSS peak", "fold's peak", "folded after s"]
    rows = []
    for (asked, variant), passage in results.passages.items():
        fold = [_NONE, _NONE]
        if passage.fold_peak is not None and passage.fold_seconds is not None:
            fold = [f"{passage.fold_peak / _MIB:.0f}", f"{passage.fold_seconds:.1f}"]
        memory = [f"{passage.idle / _MIB:.0f}", f"{passage.peak / _MIB:.0f}"]
        rows.append([asked, variant, f"{passage.size / _MIB:.0f}", f"{passage.seconds:.1f}", *memory, *fold])
    return table(head, rows)


def _asked(case: Case) -> str:
    return f"{case.kind}, {SIZES[case.size] // 1024} KB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, with its columns aligned so that it reads well as plain text too."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    # Words to the left, numbers to the right.
    left = [not any(row[i][:1].isdigit() for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(w) if to_left else cell.rjust(w) for cell, w, to_left in zip(row, widths, left, strict=True)
        )
        return f"| {' | '.join(cells)} |"

    rule = [":" + "-" * (w - 1) if to_left else "-" * (w - 1) + ":" for w, to_left in zip(widths, left, strict=True)]
    return "\n".join([line(head), line(rule), *map(line, rows)])
