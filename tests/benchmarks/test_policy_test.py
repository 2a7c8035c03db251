"""The benchmark of trying a policy, with a recording that is small."""

import re

import pytest

from benchmarks import policy_test


@pytest.mark.exhaustive
def test_every_job_is_tried(capsys):
    assert policy_test.main(["--jobs", "100"]) == 0
    assert re.search(
        r"^100 jobs in [\d.]+ s \(.*\): [\d,]+ jobs/s; the target is 5,000\.", capsys.readouterr().out, re.MULTILINE
    )
