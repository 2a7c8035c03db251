"""Which program asked, as the recording tells it of real clients."""

import subprocess
import sys
from pathlib import Path

from uuid_utils import uuid7

from hoop_mitm.archive import Query
from hoop_mitm.devkit.world import World
from tests.attacks.raw import bigquery
from tests.gateways import RunningGateway

ASK = """
from google.cloud import bigquery
list(bigquery.Client().query_and_wait("SELECT {number} AS n"))
"""


def test_each_exchange_tells_its_program_and_the_session_the_one_that_opened_it(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    session = str(uuid7())
    environment = gateway.environment(session=session)
    for number, name in enumerate(("nightly_report", "by_hand")):
        script = tmp_path / f"{name}.py"
        script.write_text(ASK.format(number=number))
        subprocess.run([sys.executable, script], env=environment, check=True)

    found = gateway.recorded(session)
    assert found.session.program
    asked = found.session.program.processes[-1]
    assert (asked.name, asked.script) == ("nightly_report", str(tmp_path / "nightly_report.py"))
    assert len(found.session.program.processes) > 1
    assert [told.rpartition(" › ")[2] for told in found.programs] == ["nightly_report", "by_hand"]
    assert {flow.program for flow in found.flows} == set(found.programs)
    assert {job.statement: str(job.program).rpartition(" › ")[2] for job in found.jobs} == {
        "SELECT 0 AS n": "nightly_report",
        "SELECT 1 AS n": "by_hand",
    }
    with gateway.folded() as archive:
        hits = archive.search(Query("› by_hand")).hits
    assert {hit.session.id for hit in hits if hit.session} == {session}
    assert "SELECT 1 AS n" in {hit.job.statement for hit in hits if hit.job}


def test_the_program_of_a_refused_request_is_told_once_it_is_known_who_asks(
    gateway: RunningGateway, world: World
) -> None:
    for token, known in ((world.issuer.token("alice"), True), ("eyJ.not.one", False)):
        agent = f"User-Agent: refused-{uuid7()}"
        with bigquery(gateway.process.address, gateway.config.gateway.certs / "bundle.pem") as raw:
            path = "/bigquery/v2/projects/nobodys/datasets"
            assert raw.request("GET", path, token=token, headers=(agent,)).status == 403
        rows = gateway.ask(f"SELECT program IS NOT NULL FROM flows WHERE user_agent = '{agent.partition(': ')[2]}'")
        assert rows == [(known,)]
