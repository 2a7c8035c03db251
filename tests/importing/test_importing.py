"""Flow files that mitmproxy itself writes, in an archive: read like all others, and evidently not this gateway's."""

import json
import secrets
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from mitmproxy import tcp
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow, tutils

from hoop_mitm.archive import open_archive, timeline
from hoop_mitm.archive.verify import verify
from hoop_mitm.cli import main
from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import RecordingKeys
from hoop_mitm.importing import import_flows
from tests.archive.verify.changing import change
from tests.archive.verify.conftest import path, recorded
from tests.cli.test_retention import write_key
from tests.recording.building import flow
from tests.recording.folding import Gateway
from tests.recording.retention.recorded import Recorded, cutoff, cutoffs
from tests.recordings import ask

__all__ = ["path", "recorded"]

HOST = "bigquery.googleapis.com"
TOKEN = f"ya29.{secrets.token_urlsafe(40)}"
SQL = "SELECT name FROM shop.customers"
ANSWER = {
    "jobComplete": True,
    "jobReference": {"projectId": "acme", "jobId": "job_heard", "location": "EU"},
    "schema": {"fields": [{"name": "name", "type": "STRING"}]},
    "totalRows": "1",
    "rows": [{"f": [{"v": "Ann"}]}],
    "totalBytesProcessed": "1024",
}


def heard(
    host=HOST,
    target="/bigquery/v2/projects/acme/queries",
    body=None,
    answer=None,
    *,
    token=TOKEN,
    at=1_700_000_000.0,
    **changes,
):
    """An exchange as mitmproxy has it."""
    request = tutils.treq(
        method=b"POST" if body else b"GET",
        scheme=b"https",
        host=host,
        port=443,
        path=target.encode("utf-8", "surrogateescape"),
        content=json.dumps(body).encode() if body else b"",
        headers=[
            (b"host", host.encode()),
            (b"authorization", f"Bearer {token}".encode()),
            (b"user-agent", b"gcloud-python/3.41.0"),
        ],
        timestamp_start=at,
        timestamp_end=at,
    )
    response = (
        tutils.tresp(content=json.dumps(answer).encode(), timestamp_start=at + 0.5, timestamp_end=at + 1)
        if answer is not None
        else None
    )
    flow = tflow.tflow(req=request, resp=response or False, **changes)
    flow.client_conn.peername = ("192.0.2.9", 4711)
    return flow


def written(path: Path, *flows) -> Path:
    with path.open("wb") as file:
        writer = FlowWriter(file)
        for flow in flows:
            writer.add(flow)
    return path


@pytest.fixture
def day(tmp_path):
    """A query, its rows asked for twice, a refusal, a token that is got, another host, raw bytes, and an answer that never came."""
    return written(
        tmp_path / "day.mitm",
        heard(body={"query": f"SELECT 1 -- {TOKEN}"}, answer={"jobComplete": False}, at=1_699_999_999.0, token="other-token-other"),
        heard(body={"query": SQL}, answer=ANSWER),
        heard(target="/bigquery/v2/projects/acme/queries/job_heard?key=" + TOKEN, answer=ANSWER),
        heard(target="/bigquery/v2/projects/acme/not/a/door", answer={}),
        heard("oauth2.googleapis.com", "/token", {"grant_type": "x"}, {"access_token": TOKEN}),
        heard("example.com", "/", None, {}),
        tcp.TCPFlow(tflow.tclient_conn(), tflow.tserver_conn()),
        heard(body={"query": "DELETE FROM t WHERE true"}, err=True),
    )  # fmt: skip


def test_exchanges_with_bigquery_are_taken_and_others_counted(day, tmp_path):
    done = import_flows(day, tmp_path / "a.duckdb")
    assert (done.flows, done.others, done.already) == (5, 3, False)
    with open_archive(tmp_path / "a.duckdb") as archive:
        [session] = archive.sessions()
        detail = archive.show(session)
        rows = archive.rows(next(job for job in detail.jobs if job.id == "job_heard"))
    assert (session.name, session.connection, session.status, session.agent) == (
        "day",
        "(imported)",
        "imported",
        "gcloud-python",
    )
    assert (session.principal.subject, session.client_address) == ("unknown", "192.0.2.9")
    assert detail.flows[0].started_at.timestamp() == 1_699_999_999.0
    assert {flow.state for flow in detail.flows} == {"complete", "failed"}
    assert [flow.door for flow in detail.flows].count(None) == 1
    said, *others = [job.statement for job in detail.jobs]
    assert said.startswith("SELECT 1 -- [redacted")
    assert sorted(others) == ["DELETE FROM t WHERE true", SQL]
    assert rows.rows() == [{"name": "Ann"}]
    assert {flow.verdict.rule for flow in detail.flows} == {"imported"}
    assert [moment.kind for moment in timeline(detail)]


def test_it_is_evidently_imported(day, tmp_path):
    environment = {"HOOP_DB": str(tmp_path / "a.duckdb"), "COLUMNS": "200"}
    imported = CliRunner(env=environment).invoke(main, ["import", str(day)])
    assert imported.output == "5 exchanges with BigQuery imported as day (" + imported.output.partition("(")[2]
    assert "3 other flows left out" in imported.output
    listed = CliRunner(env=environment).invoke(main, ["sessions"]).output
    assert "(imported)" in listed
    assert "imported" in listed.splitlines()[1].split()
    shown = CliRunner(env=environment).invoke(main, ["show", "day"]).output
    assert "no evidence of this gateway" in shown
    told = json.loads(CliRunner(env=environment).invoke(main, ["show", "day", "--json"]).output)
    [event] = told["events"]
    assert (event["type"], event["details"]["file"]) == ("recording.imported", "day.mitm")


def test_no_secret_is_in_any_byte_of_it(day, tmp_path):
    import_flows(day, tmp_path / "a.duckdb")
    with duckdb.connect(tmp_path / "a.duckdb", read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        told = str([connection.execute(f"FROM {name}").fetchall() for name in tables])
    with open_archive(tmp_path / "a.duckdb") as archive:
        exchanges = list(archive.exchanges(archive.show(archive.find("day")).flows))
    assert SQL in str(exchanges)
    for found in (told, str(exchanges), (tmp_path / "a.duckdb").read_bytes().decode("latin-1")):
        assert TOKEN not in found
        assert TOKEN.split(".", 1)[1] not in found
        assert "other-token-other" not in found


def test_the_same_file_twice_is_once(day, tmp_path):
    first = import_flows(day, tmp_path / "a.duckdb")
    before = (tmp_path / "a.duckdb").read_bytes()
    (tmp_path / "copy.mitm").write_bytes(day.read_bytes())
    again = import_flows(tmp_path / "copy.mitm", tmp_path / "a.duckdb")
    assert (again.already, again.chain, again.sessions) == (True, first.chain, first.sessions)
    assert (tmp_path / "a.duckdb").stat().st_size == len(before)
    said = CliRunner().invoke(main, ["import", str(day), "--into", str(tmp_path / "a.duckdb"), "--json"])
    assert json.loads(said.stdout)["already"] is True
    with open_archive(tmp_path / "a.duckdb") as archive:
        assert len(archive.sessions()) == 1


def test_the_same_file_after_retention_took_it_is_not_called_by_a_name(day, tmp_path):
    recorded = Recorded(tmp_path / "recordings")
    recorded.job(age=1)
    recorded.fold()
    import_flows(day, recorded.archive)
    recorded.apply(cutoffs(cutoff(metadata=30)))
    before = ask(recorded.archive, "SELECT count(*) FROM records")
    again = CliRunner().invoke(main, ["import", str(day), "--into", str(recorded.archive)])
    assert again.exit_code == 0, again.output
    assert again.stdout == f"{day} was imported before, and retention has deleted it since. Nothing was done.\n"
    assert ask(recorded.archive, "SELECT count(*) FROM records") == before


@pytest.mark.parametrize("tables", ["archive", "archive and records"])
def test_what_only_says_that_it_is_an_archive_is_left_alone(day, tmp_path, tables):
    with duckdb.connect(tmp_path / "a.duckdb") as connection:
        connection.execute("CREATE TABLE archive AS SELECT 4 AS version, now() AS created_at, 'somebody' AS written_by")
        if "records" in tables:
            connection.execute("CREATE TABLE records (chain VARCHAR, kind VARCHAR, data VARCHAR)")
    before = (tmp_path / "a.duckdb").read_bytes()
    done = CliRunner().invoke(main, ["import", str(day), "--into", str(tmp_path / "a.duckdb")])
    assert done.exit_code == 3, done.output
    assert "is a DuckDB file, but no hoop-mitm archive" in done.stderr
    assert (tmp_path / "a.duckdb").read_bytes() == before


def test_two_imports_of_one_file_have_the_same_ids(day, tmp_path):
    for name in ("a", "b"):
        import_flows(day, tmp_path / f"{name}.duckdb")
    found = []
    for name in ("a", "b"):
        with open_archive(tmp_path / f"{name}.duckdb") as archive:
            found.append([flow.id for flow in archive.show(archive.find("day")).flows])
    assert found[0] == found[1]
    assert found[0] == sorted(found[0])


def test_it_verifies_and_is_vouched_for_by_nobody_or_by_who_imported_it(day, tmp_path):
    import_flows(day, tmp_path / "a.duckdb")
    report = verify(tmp_path / "a.duckdb")
    assert report.verified, report.findings
    assert [chain.origin for chain in report.chains] == ["import"]
    assert "imported" in {limit.what for limit in report.limits}
    keys = RecordingKeys.load_or_create(tmp_path / "state")
    import_flows(day, tmp_path / "b.duckdb", key=keys.newest)
    assert verify(tmp_path / "b.duckdb").chains[0].keys == (keys.newest.fingerprint,)


def test_beside_a_gateways_recording_it_stays_what_it_is(day, path, recorded):
    """The key that is given is the gateway's; what was imported does not count as its evidence, and is no flaw of it."""
    before = verify(path, keys=[recorded.keys[0]]).checked
    import_flows(day, path)
    report = verify(path, keys=[recorded.keys[0]])
    assert report.verified, report.findings
    assert sorted(chain.origin for chain in report.chains) == ["archive", "gateway", "import"]
    assert [chain.proven_to for chain in report.chains if chain.origin == "import"] == [0]
    assert report.checked["flows"] == before["flows"] + 5


def test_it_says_nothing_of_a_job_of_the_gateways_or_another_files_that_is_called_the_same(tmp_path):
    gateway = Gateway(tmp_path)
    gateway.fold(flow(request={"query": SQL}, response=ANSWER, statement=SQL))
    gateway.die()
    for number in (1, 2):
        body, answer = {"query": f"{SQL} LIMIT {number}"}, {**ANSWER, "totalBytesProcessed": str(number)}
        import_flows(written(tmp_path / f"{number}.mitm", heard(body=body, answer=answer)), tmp_path / "hoop.duckdb")

    jobs = ask(
        tmp_path / "hoop.duckdb",
        "SELECT statement, bytes_processed, session_id FROM jobs WHERE id = 'job_heard' ORDER BY ALL",
    )
    assert [job[:2] for job in jobs] == [(SQL, 1024), (f"{SQL} LIMIT 1", 1), (f"{SQL} LIMIT 2", 2)]
    assert len({job[2] for job in jobs}) == 3
    report = verify(tmp_path / "hoop.duckdb")
    # A gateway that died so early has signed nothing.
    assert set(report.found) == {"chain.unsigned"}


def test_what_is_changed_afterwards_is_found(day, tmp_path):
    import_flows(day, tmp_path / "a.duckdb")
    change(tmp_path / "a.duckdb", "UPDATE sessions SET connection = 'acme'")
    [finding] = verify(tmp_path / "a.duckdb").findings
    assert (finding.what, finding.place.column) == ("row.changed", "connection")


@pytest.mark.parametrize("into", ["recordings", "elsewhere.duckdb"])
def test_the_signature_over_an_import_goes_where_the_gateways_heads_go(tmp_path, monkeypatch, into):
    """Also while no gateway has recorded anything; and what is not taken at once, with the next that is."""
    monkeypatch.chdir(tmp_path)
    write_key(tmp_path / "state")
    Path("recordings").mkdir(mode=0o700)
    Path("hoop.yaml").write_text(
        "gateway: {state: state}\n"
        "recording: {directory: recordings, heads: [{type: file, path: outside/heads.jsonl}]}\n"
        "identity: {issuers: [{issuer: 'https://login.acme.test', audiences: [hoop]}]}\n"
        "connections: [{name: acme, projects: [acme], credential: {type: adc}}]\n"
    )
    for number in (1, 2):
        answer = ANSWER | {"jobReference": {"projectId": "acme", "jobId": f"job_{number}", "location": "EU"}}
        written(Path(f"{number}.mitm"), heard(body={"query": f"{SQL} LIMIT {number}"}, answer=answer))

    kept = CliRunner().invoke(main, ["import", "1.mitm", "--into", into, "--json"])
    assert kept.exit_code == 0, kept.output
    assert "Signed heads do not reach their sink" in kept.stderr
    Path("outside").mkdir()
    monkeypatch.setattr("hoop_mitm.recording.heads._PATIENCE_AT_STOP", 60.0)
    more = CliRunner().invoke(main, ["import", "2.mitm", "--into", into, "--json"])

    assert (more.exit_code, more.stderr) == (0, ""), more.output
    heads = [json.loads(line) for line in Path("outside/heads.jsonl").read_text().splitlines()]
    told = [json.loads(done.stdout) for done in (kept, more)]
    assert [head["chain"] for head in heads] == [each["chain"] for each in told]
    file = tmp_path / ("recordings/hoop.duckdb" if into == "recordings" else into)
    report = verify(file, heads=[Path("outside/heads.jsonl")])
    assert report.findings == ()
    again = CliRunner().invoke(main, ["import", "1.mitm", "--into", into])
    assert "was imported before" in again.stdout
    assert len(Path("outside/heads.jsonl").read_text().splitlines()) == 2
    assert SQL in CliRunner().invoke(main, ["show", "1", "--db", into]).stdout


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("no flows here"), "is no flow file of mitmproxy's"),
        (lambda path: path.write_bytes(written(path, heard(body={"query": SQL}, answer=ANSWER)).read_bytes()[:-20]), "breaks off|is no flow"),
        (lambda path: written(path, heard("example.com", "/", None, {})), "none of them is with BigQuery"),
        (lambda _: None, "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_leaves_nothing(tmp_path, make, words):
    make(tmp_path / "x.mitm")
    with pytest.raises(ArchiveError, match=words):
        import_flows(tmp_path / "x.mitm", tmp_path / "a.duckdb")
    assert not (tmp_path / "a.duckdb").exists()


def test_a_flow_that_is_hostile_is_imported_as_it_is(tmp_path):
    evil = heard(target="/bigquery/v2/projects/acme/queries/\x1b]0;x\x07%00?a=\udcff", answer={"evil": "\x1b[2J"})
    evil.request.headers["x-evil"] = "\x1b[2J\udcff"
    evil.response.status_code = 999_999
    import_flows(written(tmp_path / "evil.mitm", evil), tmp_path / "a.duckdb")
    assert verify(tmp_path / "a.duckdb").verified
