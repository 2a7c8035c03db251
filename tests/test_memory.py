"""The largest answers pass through a gateway piece by piece: its memory does not grow with what it carries."""

import sys

import pytest

from benchmarks import large
from benchmarks.surroundings import Surroundings
from benchmarks.variants import Gateway

MIB = 2**20
SIZE = 192 * MIB
MOST = 64 * MIB


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory a process had at most")
@pytest.mark.parametrize(
    "receive", [large.rest, pytest.param(large.storage, marks=pytest.mark.exhaustive), large.slowly]
)
def test_a_large_answer_is_recorded_whole_and_never_held_whole(tmp_path, receive):
    """``jobs.getQueryResults`` over REST and ``ReadRows`` over gRPC, also to a client that is slower than BigQuery. That
    it is in the archive is looked at as well."""
    with Surroundings(tmp_path, large=SIZE, stream=SIZE) as surroundings:
        passage, _ = large.measure(Gateway(surroundings, tmp_path / "gateway"), receive)

    assert passage.size > 0.9 * SIZE
    assert passage.peak - passage.idle < MOST, f"{passage.idle / MIB:.0f} MiB before, {passage.peak / MIB:.0f} at most"
