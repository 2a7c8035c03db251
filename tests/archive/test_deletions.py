"""What retention took is said to be deleted, and since when; what was never there is not."""

import json

import pytest
from click.testing import CliRunner

from hoop_mitm.archive import open_archive
from hoop_mitm.archive.export import export
from hoop_mitm.cli import main
from tests.recording.retention.recorded import Recorded, cutoff, cutoffs


@pytest.fixture
def recorded(tmp_path) -> Recorded:
    made = Recorded(tmp_path)
    for age in (1, 50, 100):
        made.job(age=age, session=str(age))
    made.fold()
    made.apply(cutoffs(acme=cutoff(30, 80)))
    return made


@pytest.mark.parametrize(
    ("age", "of_job", "of_rows"),
    [
        (1, set(), set()),
        (50, {"request_body", "response_body"}, {"response_body"}),
        (100, {"request_body", "response_body", "statement"}, {"response_body", "statement"}),
    ],
)
def test_a_reader_is_told_what_is_deleted(recorded, age, of_job, of_rows):
    with open_archive(recorded.archive) as archive:
        detail = archive.show(archive.find(recorded.sessions[str(age)].id))
        exchange = archive.exchange(detail.flows[-1])
    assert set(detail.jobs[0].deleted) == of_job
    # The last of them fetched the rows, with a request that has no body.
    assert set(detail.flows[-1].deleted) == of_rows
    assert (exchange.response_body is None) is ("response_body" in of_rows)


def shown(recorded: Recorded, age: int, *more: str) -> str:
    session = recorded.sessions[str(age)].id
    done = CliRunner(env={"HOOP_DB": str(recorded.archive), "COLUMNS": "200"}).invoke(main, ["show", session, *more])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_line_says_so(recorded):
    at = f"deleted by retention on {shown_at(recorded)}"
    assert f"(its statement was {at})" in shown(recorded, 100)
    assert "deleted" not in shown(recorded, 1)
    assert "SELECT 'text-" in shown(recorded, 50)
    assert f"they were {at}" in shown(recorded, 50, "--job", "1", "--rows")
    flow = json.loads(shown(recorded, 50, "--json"))["flows"][-1]
    assert at in shown(recorded, 50, "--flow", flow["id"])
    assert set(flow["deleted"]) == {"response_body"}


def shown_at(recorded: Recorded) -> str:
    with open_archive(recorded.archive) as archive:
        detail = archive.show(archive.find(recorded.sessions["50"].id))
    return f"{detail.flows[-1].deleted['response_body']:%Y-%m-%d}"


def test_an_export_says_so(recorded):
    with open_archive(recorded.archive) as archive:
        har = json.loads(b"".join(export(archive, archive.find(recorded.sessions["50"].id), "har")))
    comments = {entry["response"]["content"].get("comment") for entry in har["log"]["entries"]}
    assert comments == {f"The body was deleted by retention on {shown_at(recorded)}."}
