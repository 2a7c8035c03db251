"""``python -m benchmarks``: the benchmark that there is."""

import sys

from benchmarks.gateway import main

if __name__ == "__main__":
    sys.exit(main())
