from pathlib import Path

import pytest

from benchmarks import large
from benchmarks.surroundings import Surroundings
from benchmarks.variants import Gateway

_SIZE = 3 * 2**20


@pytest.mark.exhaustive
def test_large_answers_come_through_the_gateway_whole_and_recorded(tmp_path: Path) -> None:
    with (
        Surroundings(tmp_path, large=_SIZE, stream=_SIZE) as surroundings,
        Gateway(surroundings, tmp_path / "gateway") as gateway,
    ):
        received = [large.rest(gateway), large.storage(gateway)]
        gateway.check(sum(each.answers for each in received), sum(each.size for each in received))
    assert [each.large for each in received] == [pytest.approx(_SIZE, rel=0.2)] * 2
