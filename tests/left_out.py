"""What is left out of a run: at somebody's desk that is said, in CI (``CI=true``) it fails.

CI runs as root, on a machine where `.ci/run` has put what tests need. A test that does not run there is a promise that
nobody keeps watch over.
"""

import os
import re
from collections.abc import Generator

import pytest

MAY_BE_MISSING = re.compile(
    r"""
    # Programs that the package sources of a CI machine need not have.
    ^(bq|gcloud|dash|fish|zsh|pwsh|systemctl|systemd-analyze|openssl|curl)\ is\ not\ (on\ this\ machine|on\ PATH|installed)
    # Cases of a table in which not everything goes with everything.
    | ^there\ is\ no\ CONNECT\ at\ the\ endpoint$
    # Newer than what a distribution may have.
    | ^no\ Python\ 3\.\d+\ or\ newer\ on\ this\ machine
    | ^this\ Node\.js\ reads\ no\ \.env\ files$
    # Containers may not, whoever runs in them.
    | ^nothing\ may\ be\ mounted\ here
    # Of Google's, and not made for every kind of processor.
    | ^@toolbox-sdk/server\ has\ no\ build\ for\ this\ platform$
    """,
    re.VERBOSE,
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = _reason(report)
        if not MAY_BE_MISSING.search(reason):
            report.outcome = "failed"
            report.longrepr = f"In CI this must not be left out: {reason}"
    return report


def _reason(report: pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
