"""``python -m benchmarks.gateway``: what the whole gateway costs, against bare mitmdump in the same run.

All variants stand on the same upstream and are asked in turn, round by round, so that whatever else the machine does
hits them alike.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import large, machine, page, report, requests, usage
from benchmarks.answers import SIZES
from benchmarks.client import Client
from benchmarks.load import Connections, Load
from benchmarks.results import Case, Results, Sample
from benchmarks.surroundings import Surroundings
from benchmarks.variants import Direct, Gateway, Mitmdump, Variant

KINDS = ("statement", "page")
LARGE = {"getQueryResults, chunked": large.rest, "ReadRows, gRPC": large.storage, "ReadRows, read slowly": large.slowly}
BARE = "mitmdump -q"
FULL = {"rounds": 5, "seconds": 1.0, "large": 1024, "stream": 1024}
QUICK = {"rounds": 1, "seconds": 0.4, "large": 64, "stream": 16}
_WARM_UP = 0.1


class Bench:
    """One variant and a client's connections to it; `ready` it first.

    Attributes:
        answers, size: how many answers have come, and bytes of their bodies, warm-up and all.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.answers = 0
        self.size = 0
        self._place = variant.rest()
        self._connections = Connections(self._place)
        self._jobs: dict[str, str] = {}
        self._numbers = itertools.count(1)

    async def ready(self, cases: Sequence[Case], warm_up: float) -> None:
        """Opens the connections, has a job made for the pages of each size, and asks everything for ``warm_up`` seconds."""
        await self._connections.open(max(case.connections for case in cases))
        for size in {case.size for case in cases}:
            body = await asyncio.to_thread(self._ask, requests.statement(size, 0))
            self._jobs[size] = json.loads(body)["jobReference"]["jobId"]
        for case in cases:
            await self._run(case, warm_up)

    async def sample(self, case: Case, seconds: float) -> Sample:
        await asyncio.to_thread(self.variant.settle)
        pid = self.variant.pid
        fold = self.variant.fold if isinstance(self.variant, Gateway) else None
        cpu, fold_cpu = _cpu(pid), _cpu(fold)
        load = await self._run(case, seconds)
        cpu = _cpu(pid) - cpu
        await asyncio.to_thread(self.variant.settle)
        fold_cpu = _cpu(fold) - fold_cpu
        answers = len(load.latencies)
        return Sample(load.rate, load.quantile(0.5), load.quantile(0.99), cpu / answers, fold_cpu / answers)

    def close(self) -> None:
        self._connections.close()

    def _ask(self, request: requests.Request) -> bytes:
        with Client(self._place) as client:
            body = client.ask(request).read()
        self.answers += 1
        self.size += len(body)
        return body

    async def _run(self, case: Case, seconds: float) -> Load:
        load = await self._connections.run(case.connections, self._maker(case), seconds)
        self.answers += len(load.latencies)
        self.size += load.size
        return load

    def _maker(self, case: Case) -> Callable[[], bytes]:
        place, numbers = self._place, self._numbers
        if case.kind == "statement":
            return lambda: requests.statement(case.size, next(numbers)).wire(place)
        job = self._jobs[case.size]
        return lambda: requests.page(job, next(numbers)).wire(place)


async def measure(
    results: Results, variants: Sequence[Variant], cases: Sequence[Case], rounds: int, seconds: float
) -> None:
    """Asks all variants, which run, in turn."""
    benches = [Bench(variant) for variant in variants]
    try:
        for bench in benches:
            await bench.ready(cases, min(seconds, _WARM_UP))
        for number, case in itertools.product(range(rounds), cases):
            # Each begins as often as the others.
            shift = number % len(benches)
            samples = {}
            for bench in (*benches[shift:], *benches[:shift]):
                samples[bench.variant.name] = await bench.sample(case, seconds)
            for bench in benches:
                results.samples.setdefault((bench.variant.name, case), []).append(samples[bench.variant.name])
    finally:
        for bench in benches:
            bench.close()
    for bench in benches:
        if isinstance(bench.variant, Gateway):
            bench.variant.check(bench.answers, bench.size)
            results.answers += bench.answers
            results.size += bench.size


def _cpu(pid: int | None) -> float:
    return usage.cpu_seconds(pid) if pid else 0.0


def run(options: argparse.Namespace, directory: Path) -> Results:
    """Everything that ``options`` ask for. What it writes lies in ``directory``."""
    results = Results(Direct.name, BARE)
    cases = [Case(*each) for each in itertools.product(KINDS, options.sizes, options.connections)]
    with Surroundings(directory, large=options.large * 2**20, stream=options.stream * 2**20) as surroundings:
        variants: list[Variant] = [
            Direct(surroundings),
            Mitmdump(surroundings, directory / "bare", BARE),
            Mitmdump(surroundings, directory / "writing", f"{BARE} -w", "-w", str(directory / "flows.mitm")),
            Gateway(surroundings, directory / "gateway"),
        ]
        with ExitStack() as running:
            for variant in variants:
                running.enter_context(variant)
            asyncio.run(measure(results, variants, cases, options.rounds, options.seconds))
        for asked, receive in ({} if options.no_large else LARGE).items():
            place = directory / receive.__name__
            place.mkdir()
            for variant in (
                Mitmdump(surroundings, place / "bare", BARE),
                Mitmdump(surroundings, place / "streaming", f"{BARE}, streaming", "--set", "stream_large_bodies=1m"),
                Gateway(surroundings, place / "gateway"),
            ):
                results.passages[asked, variant.name], received = large.measure(variant, receive)
                if isinstance(variant, Gateway):
                    results.answers += received.answers
                    results.size += received.size
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, for a look; its figures are rough")
    parser.add_argument("--write", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES], help="of answers")
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 16], metavar="N", help="of the client")
    parser.add_argument("--rounds", type=int, help="how often everything is asked")
    parser.add_argument("--seconds", type=float, help="of each variant in each case and round")
    parser.add_argument("--large", type=int, metavar="MIB", help="size of the one large answer")
    parser.add_argument("--stream", type=int, metavar="MIB", help="size of the one gRPC stream")
    parser.add_argument("--no-large", action="store_true", help="leave out the large answers")
    parser.add_argument("--dir", type=Path, help="where journals and archives go: the disk that is measured too")
    options = parser.parse_args(arguments)
    if not usage.supported():
        parser.error("CPU time and memory are read from Linux's /proc, which is not here")
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="hoop-bench-") as directory:
        began = time.monotonic()
        about = machine.describe(Path(directory))
        text = report.render(run(options, Path(directory)))
        took = time.monotonic() - began
    command = " ".join(["python -m benchmarks.gateway", *(sys.argv[1:] if arguments is None else arguments)])
    part = f"# What the gateway costs\n\n`{command}`, {took:.0f} s\n\n{about}\n\n{text}"
    print(part)
    if options.write:
        page.write(part)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
