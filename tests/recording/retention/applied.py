"""A process that applies retention, to be killed: ``python -m tests.recording.retention.applied DIRECTORY DAYS``.

Bodies are kept for so many days.
"""

import sys
from pathlib import Path

from hoop_mitm.recording.layout import Layout
from hoop_mitm.recording.retention import apply
from tests.recording.folding import keys
from tests.recording.retention.recorded import cutoff, cutoffs

if __name__ == "__main__":
    keep = cutoffs(acme=cutoff(float(sys.argv[2])))
    print("begun", flush=True)
    apply(Layout(Path(sys.argv[1])), keys(), keep, "a process", lambda step: print(step, flush=True))
    print("done", flush=True)
