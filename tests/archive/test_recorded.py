"""The read side on what the write side really writes, while it writes and after."""

import asyncio
import threading
import time
from concurrent.futures import Future

import pytest

from hoop_mitm.archive import diff, open_archive, timeline
from hoop_mitm.archive.opening import open_settled
from hoop_mitm.bigquery.operation import Resource, TableRef
from hoop_mitm.config.model import Recording
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import Recorder
from tests.archive.test_results_storage import ROWS, answers, frame
from tests.recording.building import (
    BASE,
    CREATE_READ_SESSION,
    INSERT,
    QUERY,
    READ_ROWS,
    RESULTS,
    event,
    flow,
    intent,
    session,
)
from tests.waiting import until

SQL = "SELECT id, tag FROM shop.orders ORDER BY id"
FIELDS = [{"name": "id", "type": "INTEGER"}, {"name": "tag", "type": "STRING"}]
RESULT = [{"f": [{"v": str(row["id"])}, {"v": row["tag"]}]} for row in ROWS.to_pylist()]
ANONYMOUS = {"projectId": "acme", "datasetId": "_anon", "tableId": "anon1"}


class Recorded:
    """A recorder that runs in a thread of its own, as in a gateway."""

    def __init__(self, directory):
        self.path = directory / "hoop.duckdb"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.recorder = Recorder(Recording(directory=directory))
        self._wait(self.recorder.start())

    def _wait(self, coroutine):
        future: Future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(60)

    def write(self, *records):
        self._wait(self.recorder.write(*records))

    def read(self):
        """The archive, open, with everything in it that was written before."""
        return open_settled(self.path)

    def stop(self):
        self._wait(self.recorder.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def recorded(tmp_path):
    running = Recorded(tmp_path / "recordings")
    yield running
    if running._thread.is_alive():
        running.stop()


def reference(job):
    return {"jobReference": {"projectId": "acme", "jobId": job, "location": "EU"}}


def one_answer(alice, job="job_1", sql=SQL, rows=RESULT):
    """What `query_and_wait` does."""
    answer = reference(job) | {
        "jobComplete": True,
        "schema": {"fields": FIELDS},
        "totalRows": str(len(rows)),
        "rows": rows,
    }
    answer |= {"totalBytesProcessed": "1024"}
    return flow(QUERY, {"query": sql}, answer, session=alice, statement=sql)


def inserted_and_paged(alice, job="job_2"):
    """What `query` and two pages do."""
    configuration = {"query": {"query": SQL, "destinationTable": ANONYMOUS}}
    made = reference(job) | {"configuration": configuration, "status": {"state": "DONE"}}
    statistics = {"query": {"statementType": "SELECT", "totalBytesProcessed": "2048", "totalBytesBilled": "10485760"}}
    pages = f"{BASE}/queries/{job}"
    done = reference(job) | {"jobComplete": True, "totalRows": "4"}
    return [
        flow(INSERT, reference(job) | {"configuration": configuration}, made | {"statistics": statistics}, session=alice,
             statement=SQL, url=f"{BASE}/jobs"),
        flow(RESULTS, None, done | {"schema": {"fields": FIELDS}, "pageToken": "p0"}, session=alice, method="GET",
             url=f"{pages}?maxResults=0"),
        flow(RESULTS, None, done | {"rows": RESULT[:3], "pageToken": "p3"}, session=alice, method="GET",
             url=f"{pages}?pageToken=p0"),
        flow(RESULTS, None, done | {"rows": RESULT[3:]}, session=alice, method="GET", url=f"{pages}?pageToken=p3"),
    ]  # fmt: skip


def streamed(alice):
    """What the Storage API does with the result of `job_2`."""
    from google.cloud.bigquery_storage_v1 import types

    name = "projects/acme/locations/eu/sessions/s1"
    table = "projects/acme/datasets/_anon/tables/anon1"
    asked = types.CreateReadSessionRequest(
        parent="projects/acme", read_session={"table": table, "data_format": "ARROW"}
    )
    schema = {"serialized_schema": ROWS.schema.serialize().to_pybytes()}
    stream = f"{name}/streams/a"
    made = types.ReadSession(name=name, table=table, arrow_schema=schema, streams=[{"name": stream}])
    grpc = {"session": alice, "grpc_status": 0, "url": "https://bigquerystorage.googleapis.com/x"}
    return [
        flow(CREATE_READ_SESSION, frame(asked), frame(made), tables=(TableRef("acme", "_anon", "anon1"),), **grpc),
        flow(
            READ_ROWS,
            frame(types.ReadRowsRequest(read_stream=stream)),
            answers(ROWS),
            **grpc,
            uses=(Resource("read_stream", stream),),
        ),
    ]


def test_a_session_is_read_while_its_gateway_runs_and_after(recorded):
    alice = session(name="nightly")
    answered = [one_answer(alice), *inserted_and_paged(alice)]
    refused = flow(QUERY, {"query": "DROP TABLE t"}, {}, session=alice, statement="DROP TABLE t", state="refused",
                   status=403, verdict=Verdict("deny", "read_only", "Analysts do not write."))  # fmt: skip
    recorded.write(alice, *answered, refused, event(session_id=alice.id))

    with recorded.read() as archive:
        found = archive.find("nightly")
        detail = archive.show(found)
        results = [archive.rows(job) for job in detail.jobs]
    assert (found.status, found.jobs, found.denied) == ("active", 2, 1)
    assert [job.id for job in detail.jobs[:2]] == ["job_1", "job_2"]
    assert [result.rows() for result in results[:2]] == [ROWS.to_pylist()] * 2
    assert all(result.complete for result in results[:2])
    assert [len(job.flows) for job in detail.jobs[:2]] == [1, 4]
    assert (detail.jobs[1].bytes_processed, detail.jobs[1].bytes_billed) == (2048, 10485760)
    assert detail.jobs[2].verdict == Verdict("deny", "read_only", "Analysts do not write.")
    assert detail.events[0].message == "The token has expired."
    assert [moment.kind for moment in timeline(detail)].count("deny") == 1

    recorded.write(
        intent(QUERY, {"query": "DELETE FROM t WHERE true"}, session=alice, statement="DELETE FROM t WHERE true")
    )
    recorded.stop()
    with recorded.read() as archive:
        detail = archive.show(archive.find("nightly"))
    assert detail.session.status != "active" or detail.session.ended_at is None
    [unresolved] = [flow for flow in detail.flows if flow.state == "open"]
    assert unresolved.door == "jobs.query"


def test_a_record_becomes_visible_while_the_next_ones_come(recorded):
    """The fold does not wait until there is nothing more to do."""
    alice = session()
    recorded.write(alice, one_answer(alice, "first"))

    def is_there():
        recorded.write(one_answer(alice))
        with recorded.read() as archive:
            return any(job.id == "first" for job in archive.show(archive.find(alice.id)).jobs)

    until(is_there)


def test_what_a_killed_gateway_left_in_the_journal_is_read_too(recorded, tmp_path):
    import shutil

    alice = session()
    recorded.write(alice, one_answer(alice))
    recorded.stop()
    recorded.path.unlink()
    copy = tmp_path / "copy"
    shutil.copytree(recorded.path.parent, copy)
    (copy / "journal" / "lock").unlink(missing_ok=True)
    if any((copy / "journal").glob("0*.sqlite")):
        with open_archive(copy / "hoop.duckdb") as archive:
            assert archive.find("@last").id == alice.id


def test_rows_of_a_storage_read_belong_to_the_job_whose_result_they_are(recorded):
    alice = session()
    insert, polled, *_ = inserted_and_paged(alice)
    recorded.write(alice, insert, polled)
    recorded.write(*streamed(alice))
    with recorded.read() as archive:
        detail = archive.show(archive.find(alice.id))
        [job] = detail.jobs
        result = archive.rows(job)
    assert result.source == "storage"
    assert result.rows() == ROWS.to_pylist()
    assert len(job.flows) == 4


def test_two_recorded_sessions_are_compared(recorded):
    before, after = session(name="before"), session(name="after")
    recorded.write(before, one_answer(before, "job_a"), after, one_answer(after, "job_b", rows=RESULT[:2]))
    with recorded.read() as archive:
        found = diff(archive, archive.find("before"), archive.find("after"))
    [job] = found.jobs
    assert (job.change, job.rows.removed, job.differences) == ("changed", 2, ("rows",))


def test_reading_over_and_over_does_not_keep_the_fold_out(recorded):
    alice = session()
    recorded.write(alice, *(one_answer(alice, f"job_{number}") for number in range(3)))
    until(recorded.path.exists)
    give_up = time.monotonic() + 60
    while True:
        with open_archive(recorded.path, wait=60) as archive:
            if archive.sessions() and archive.sessions()[0].jobs == 3:
                break
        assert time.monotonic() < give_up


def test_a_reader_that_stays_loses_nothing(recorded):
    alice = session()
    recorded.write(alice, one_answer(alice, "job_1"))
    with recorded.read() as archive:
        assert archive.find(alice.id).jobs == 1
        recorded.write(one_answer(alice, "job_2"))
        time.sleep(1.5)
        assert archive.find(alice.id).jobs == 1
    with recorded.read() as archive:
        assert archive.find(alice.id).jobs == 2
