"""A recorded session as a fixture: test an agent against it, offline, in CI.

Name the plugin in your ``conftest.py``, and the recording in ``pyproject.toml`` or beside each test::

    pytest_plugins = ["hoop_mitm.testing"]

    [tool.pytest.ini_options]
    hoop_recording = "tests/recordings/hoop.duckdb"

Then a test has BigQuery as it was when the session was recorded::

    @pytest.mark.hoop_session("nightly")
    def test_the_report_still_asks_the_same(hoop_session):
        report.main()  # any client: its environment is set
        hoop_session.assert_same()

It needs ``pip install 'hoop-mitm[sandbox]'`` and pytest. A question that the recording cannot answer fails the test.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hoop_mitm.archive import SessionDetail, open_archive
from hoop_mitm.archive.opening import open_settled
from hoop_mitm.client import BYPASSES
from hoop_mitm.client.outfit import SESSION
from hoop_mitm.serving import Miss, Serving, load

if TYPE_CHECKING:
    from hoop_mitm.archive import SessionDiff
    from hoop_mitm.archive.comparing import Options

__all__ = ["HoopSession", "hoop_session"]

_MARK = "hoop_session"
_INI = "hoop_recording"
_RUN_SECONDS = 300
_LONGEST_NAME = 100


@dataclass(frozen=True)
class HoopSession:
    """A recorded session that is being served, and the session of this test in front of it.

    Attributes:
        recording: the archive of the original.
        served: the archive that this test is recorded in.
        variables: what a client needs; the test's own process has them already.
    """

    recording: Path
    served: Path
    variables: Mapping[str, str]
    _serving: Serving

    @property
    def environment(self) -> dict[str, str]:
        """All of the environment of a child process."""
        return {name: value for name, value in os.environ.items() if name not in BYPASSES} | dict(self.variables)

    @property
    def misses(self) -> Sequence[Miss]:
        """What was asked and is not in the recording, in order; each with a message, and the closest recorded job."""
        return self._serving.world.misses

    def run(self, *command: str | Path, timeout: float = _RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a program as the client, to its end; what it prints is kept. ``timeout``: seconds."""
        return subprocess.run(  # noqa: S603 - the test's own command
            [os.fspath(part) for part in command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def asked(self) -> SessionDetail:
        """What this test has asked so far.

        Raises:
            NotInArchive: nothing.
        """
        with open_settled(self.served) as archive:
            return archive.show(archive.find(self.variables[SESSION]))

    def diff(self, options: "Options | None" = None) -> "SessionDiff":
        """What differs from the recorded session in what this test has asked so far.

        Raises:
            NotInArchive: it has asked nothing.
        """
        from hoop_mitm.archive.comparing import diff

        with open_archive(self.recording, fold=False) as original, open_settled(self.served) as served:
            before = original.find(self._serving.world.recorded.first.id)
            return diff(original, before, served.find(self.variables[SESSION]), options, other=served)

    def assert_same(self, options: "Options | None" = None) -> None:
        """Fails with what differs, where this test has not asked all that was recorded, and got the same."""
        __tracebackhide__ = True
        found = self.diff(options)
        if not found.same:
            pytest.fail(_told(found))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(_INI, "The recording that hoop_session serves from, from the root of the tests.", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARK}(session='@last', *, recording=None, strict=False, latency='none', config=None, misses='fail'): "
        "the recorded session that the fixture hoop_session serves.",
    )


@pytest.fixture(scope="session")
def _hoop_servings() -> Iterator[dict[tuple[object, ...], Serving]]:
    """What is served, started once and used by all tests that want the same."""
    servings: dict[tuple[object, ...], Serving] = {}
    yield servings
    for serving in servings.values():
        serving.stop()


@pytest.fixture
def hoop_session(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    _hoop_servings: dict[tuple[object, ...], Serving],
) -> Iterator[HoopSession]:
    """A recorded session as BigQuery, for this test's own process and for what it starts (``hoop_session.run``)."""
    mark = request.node.get_closest_marker(_MARK)
    wanted = _Wanted(*mark.args, **mark.kwargs) if mark else _Wanted()
    recording = _recording(request.config, wanted.recording)
    key = (recording, *wanted.kind)
    if key not in _hoop_servings:
        _hoop_servings[key] = _started(tmp_path_factory.mktemp("hoop"), recording, wanted, request.config)
    serving = _hoop_servings[key]
    serving.world.reset()
    name = "".join(letter for letter in request.node.name if letter.isprintable()).strip()[:_LONGEST_NAME].strip()
    variables = serving.variables(name)
    for bypass in BYPASSES:
        monkeypatch.delenv(bypass, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    yield HoopSession(recording, serving.archive, variables, serving)
    if wanted.misses == "fail" and (misses := serving.world.misses):
        pytest.fail("\n".join(miss.message for miss in misses), pytrace=False)


@dataclass(frozen=True)
class _Wanted:
    """The marker's arguments."""

    session: str = "@last"
    recording: str | Path | None = None
    strict: bool = False
    latency: Any = "none"
    config: str | Path | None = None
    misses: str = "fail"

    @property
    def kind(self) -> tuple[object, ...]:
        return self.session, self.strict, self.latency, self.config


def _recording(config: pytest.Config, named: str | Path | None) -> Path:
    given = named or config.getini(_INI)
    if not given:
        raise pytest.UsageError(
            f"hoop_session needs a recording: set {_INI} in the configuration of pytest, or recording= in the marker."
        )
    return config.rootpath / str(given)


def _started(directory: Path, recording: Path, wanted: _Wanted, config: pytest.Config) -> Serving:
    own = config.rootpath / str(wanted.config) if wanted.config else None
    serving = Serving(
        directory, load(recording, [wanted.session]), strict=wanted.strict, latency=wanted.latency, own_config=own
    )
    serving.start()
    return serving


def _told(found: "SessionDiff") -> str:
    from hoop_mitm.archive import words

    lines = ["What was asked differs from the recorded session:"]
    for job in found.jobs:
        if job.change == "same" and not job.unknown:
            continue
        of = job.after or job.before
        what = ", ".join([*(job.differences or (job.change,)), *job.unknown])
        statement = " ".join((of.statement or of.job_type).split()) if of else ""
        lines.append(f"  #{of.number if of else '?'} {what}: {words.visible(statement)[:200]}")
    return "\n".join(lines)
