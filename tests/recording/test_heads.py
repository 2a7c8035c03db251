"""Signed heads lie elsewhere: in order, all of them, whatever fails meanwhile, and nobody waits for them."""

import contextlib
import json
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from hoop_mitm.archive.verify.heads import read as heads_of
from hoop_mitm.archive.verify.report import Findings
from hoop_mitm.config.model import CommandSink, FileSink, HttpsSink, Upstream
from hoop_mitm.devkit.http import Request, Response, Servers
from hoop_mitm.devkit.pki import WorldCA
from hoop_mitm.evidence import Checkpoint
from hoop_mitm.outbound import session
from hoop_mitm.recording import heads as heads_module
from hoop_mitm.recording.heads import Heads
from hoop_mitm.recording.sinks import Sink, SinkError, sink
from tests.recording.folding import Gateway, keys
from tests.waiting import until


def make_session(ca: Path | None) -> requests.Session:
    return session(Upstream(), ca=ca)


def lines(path: Path) -> list[Checkpoint]:
    written = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Checkpoint.from_json(line) for line in written if line.endswith("\n")]


class Reports(list[tuple[str, dict[str, object]]]):
    def __call__(self, type_: str, message: str, details: dict[str, object]) -> None:
        assert message
        self.append((type_, details))

    @property
    def types(self) -> list[str]:
        return [type_ for type_, _ in self]


@contextlib.contextmanager
def running(gateway: Gateway, *sinks: Sink, reports: Reports | None = None) -> Iterator[Callable[[], Checkpoint]]:
    """What signs one more checkpoint."""
    heads = Heads(gateway.layout, sinks, Reports() if reports is None else reports)

    def sign() -> Checkpoint:
        checkpoint = gateway.journal.sign("minute")
        heads.offer(checkpoint)
        return checkpoint

    heads.start()
    try:
        yield sign
    finally:
        heads.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "_FIRST_PAUSE", 0.02)


def test_each_checkpoint_is_a_line_of_a_file(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "heads.jsonl"
    with running(gateway, sink(FileSink(type="file", path=path), make_session)) as sign:
        made = [sign() for _ in range(5)]
    assert lines(path) == made
    assert all(checkpoint.is_signed_by(keys().newest.public) for checkpoint in lines(path))
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kept", [1, -1])
def test_a_line_that_is_torn_is_written_again_whole(tmp_path: Path, gateway: Gateway, kept: int) -> None:
    """The power went in the middle of it, or the disk was full."""
    path = tmp_path / "heads.jsonl"
    to = sink(FileSink(type="file", path=path), make_session)
    first, second, third = (json.dumps(gateway.journal.sign("minute").as_json()) for _ in range(3))
    to.send(first)
    with path.open("a") as file:
        file.write(second[:kept])
    to.send(second)
    to.send(third)
    assert path.read_text().splitlines() == [first, second[:kept], second, third]
    findings = Findings()
    read = [head.checkpoint.number for head in heads_of([path], findings)]
    assert (read, findings.told) == ([Checkpoint.from_json(line).number for line in (first, second, third)], [])


def test_a_file_without_room_says_so_and_takes_the_line_when_there_is(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "heads.jsonl"
    to = sink(FileSink(type="file", path=path), make_session)
    line = json.dumps(gateway.journal.sign("minute").as_json())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line) // 2, before[1]))
    try:
        with pytest.raises(SinkError, match="has no room for a whole line"):
            to.send(line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    to.send(line)
    assert path.read_text().splitlines() == [line[: len(line) // 2], line]


def test_a_command_gets_each_on_its_standard_input(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "heads.jsonl"
    script = f"import sys; open({str(path)!r}, 'a').write(sys.stdin.read())"
    command = sink(CommandSink(type="command", command=(sys.executable, "-c", script)), make_session)
    with running(gateway, command) as sign:
        made = [sign() for _ in range(3)]
    assert lines(path) == made


def test_an_endpoint_gets_each_as_json_with_the_headers_of_a_file(tmp_path: Path, gateway: Gateway) -> None:
    got: list[Request] = []
    servers, authority = Servers(), WorldCA(tmp_path / "ca")
    servers.start()

    def keep(request: Request) -> Response:
        got.append(request)
        return Response(204)

    secret = tmp_path / "headers"
    secret.write_text("Authorization: Bearer t0ken\nX-From: hoop\n")
    try:
        port = servers.listen(keep, authority.issue("sink", ["127.0.0.1"]))
        config = HttpsSink.model_validate(
            {
                "type": "https",
                "url": f"https://127.0.0.1:{port}/heads?a=b",
                "headers_file": secret,
                "ca": authority.certificate,
            }
        )
        with running(gateway, sink(config, make_session)) as sign:
            made = [sign(), sign()]
    finally:
        servers.stop()
    assert [Checkpoint.from_json(request.body) for request in got] == made
    assert {(request.method, request.path, request.argument("a")) for request in got} == {("POST", "/heads", "b")}
    assert {request.bearer() for request in got} == {"t0ken"}
    assert {(request.headers["x-from"], request.headers["content-type"]) for request in got} == {
        ("hoop", "application/json")
    }


@pytest.mark.parametrize("status", [301, 400, 500])
def test_an_endpoint_that_does_not_say_yes_has_not_taken_it(tmp_path: Path, status: int) -> None:
    servers, authority = Servers(), WorldCA(tmp_path / "ca")
    servers.start()
    elsewhere = {"location": "https://127.0.0.1:1/"}
    try:
        port = servers.listen(lambda _: Response(status, headers=elsewhere), authority.issue("sink", ["127.0.0.1"]))
        url = f"https://127.0.0.1:{port}/?key=s3cret"
        made = sink(HttpsSink(type="https", url=url, ca=authority.certificate), make_session)
        with pytest.raises(SinkError, match=f"answered {status}") as error:
            made.send("{}")
    finally:
        servers.stop()
    assert "s3cret" not in f"{error.value}{made.name}"


UNREACHABLE: dict[str, tuple[FileSink | CommandSink | HttpsSink, str]] = {
    "no directory": (FileSink(type="file", path=Path("/dev/null/heads")), "cannot be written"),
    "no program": (CommandSink(type="command", command=("/dev/null/program", "t0ken")), "cannot be started"),
    "a failing program": (CommandSink(type="command", command=("false", "t0ken")), "ended with status 1"),
    "nobody there": (HttpsSink(type="https", url="https://127.0.0.1:1/?t0ken"), "cannot be reached"),
    "no headers": (
        HttpsSink(type="https", url="https://127.0.0.1:1/", headers_file=Path("/dev/null/headers")),
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("config", "said"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_what_cannot_be_sent_says_why_without_a_secret(config: FileSink | CommandSink | HttpsSink, said: str) -> None:
    made = sink(config, make_session)
    with pytest.raises(SinkError, match=said) as error:
        made.send("{}")
    assert "t0ken" not in f"{error.value}{made.name}"


@pytest.mark.usefixtures("quick")
def test_after_an_outage_all_of_it_is_sent_in_order_and_said_once(tmp_path: Path, gateway: Gateway) -> None:
    path, reports = tmp_path / "elsewhere" / "heads.jsonl", Reports()
    made = sink(FileSink(type="file", path=path), make_session)
    with running(gateway, made, reports=reports) as sign:
        signed = [sign() for _ in range(4)]
        until(lambda: reports.types == ["heads.failing"])
        signed.append(sign())
        path.parent.mkdir()
        until(lambda: len(lines(path)) == 5)
        signed.append(sign())
        until(lambda: len(lines(path)) == 6)
    assert lines(path) == signed
    assert reports.types == ["heads.failing", "heads.delivered"]
    assert "cannot be written" in str(reports[0][1]["error"])


def test_what_was_not_sent_before_the_end_is_sent_after_the_next_start(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "elsewhere" / "heads.jsonl"
    made = sink(FileSink(type="file", path=path), make_session)
    with running(gateway, made) as sign:
        signed = [sign() for _ in range(3)]
    path.parent.mkdir()
    with running(gateway, made) as sign:
        signed.append(sign())
        until(lambda: len(lines(path)) == 4)
    with running(gateway, made):
        pass
    assert lines(path) == signed


def test_what_a_crash_kept_from_being_noted_is_found_in_the_journal(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "heads.jsonl"
    signed = [gateway.journal.sign("minute") for _ in range(3)]
    with running(gateway, sink(FileSink(type="file", path=path), make_session)):
        until(lambda: len(lines(path)) == 3)
    assert lines(path) == signed


def test_a_sink_that_hangs_holds_up_neither_the_recording_nor_the_others(tmp_path: Path, gateway: Gateway) -> None:
    """All is signed, and with the other sink, while it hangs."""
    hangs, let_go = threading.Event(), threading.Event()
    taken: list[str] = []

    class Hanging:
        name = "hanging"

        def send(self, line: str) -> None:
            hangs.set()
            let_go.wait()
            taken.append(line)

    path = tmp_path / "heads.jsonl"
    with running(gateway, Hanging(), sink(FileSink(type="file", path=path), make_session)) as sign:
        try:
            sign()
            assert hangs.wait(60)
            for _ in range(19):
                sign()
            until(lambda: len(lines(path)) == 20)
            assert taken == []
        finally:
            let_go.set()


def test_a_damaged_note_of_them_is_begun_anew(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "heads.jsonl"
    gateway.layout.heads.write_bytes(b"nonsense" * 1000)
    with running(gateway, sink(FileSink(type="file", path=path), make_session)) as sign:
        made = sign()
        until(lambda: lines(path) == [made])


def test_without_a_sink_there_is_nothing(gateway: Gateway) -> None:
    with running(gateway) as sign:
        sign()
    assert not gateway.layout.heads.exists()


def test_a_line_is_the_checkpoint_and_nothing_else(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "heads.jsonl"
    with running(gateway, sink(FileSink(type="file", path=path), make_session)) as sign:
        made = sign()
    [line] = path.read_text().splitlines()
    assert json.loads(line) == made.as_json()
