"""``python -m benchmarks [NAME …]``: one of the benchmarks; what the gateway costs, where none is named."""

import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks import diffing, gateway, policy, policy_test, reading, recording, serving, verifying

BENCHMARKS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "diffing": diffing.main,
    "gateway": gateway.main,
    "policy": policy.main,
    "policy_test": policy_test.main,
    "reading": reading.main,
    "recording": recording.main,
    "serving": serving.main,
    "verifying": verifying.main,
}


def main(arguments: Sequence[str]) -> int:
    """Runs the one that is named first, with the arguments after it."""
    if arguments and arguments[0] in BENCHMARKS:
        return BENCHMARKS[arguments[0]](arguments[1:])
    return gateway.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
