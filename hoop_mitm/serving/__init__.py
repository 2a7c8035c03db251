"""A recording as a BigQuery that unmodified clients can talk to, offline.

It stands behind a real gateway, in the place of Google: so all that is asked is recorded as ever, and compares with the
original. What is not in the recording is answered with what is closest to it, and goes nowhere.
It knows the archive and the devkit's servers; nothing of mitmproxy or the command line.
"""

from hoop_mitm.serving.installation import ServedWorld, Serving
from hoop_mitm.serving.jobs import Latency
from hoop_mitm.serving.matching import Miss
from hoop_mitm.serving.recorded import Recorded, load

__all__ = ["Latency", "Miss", "Recorded", "ServedWorld", "Serving", "load"]
