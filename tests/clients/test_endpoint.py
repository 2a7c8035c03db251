"""Clients that use no proxy, at the gateway's endpoint: each unmodified, with nothing but environment variables."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from uuid_utils import uuid7

from hoop_mitm.client import child_environment, endpoint_environment, write_credentials
from hoop_mitm.devkit.gateway_process import free_port
from hoop_mitm.devkit.world import World
from hoop_mitm.identity.exchange import audience_for
from tests.clients import environments
from tests.clients.clients import DRIVERS, Client, Node, run
from tests.clients.environments import NotHere
from tests.gateways import RunningGateway, private

NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody runs: whoever goes anywhere but to the endpoint does not get there."""


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    settings = {"endpoint": f"127.0.0.1:{free_port()}"}
    with RunningGateway(world, tmp_path_factory.mktemp("endpoint"), gateway=settings) as running:
        yield running


def url(gateway: RunningGateway) -> str:
    return f"http://{gateway.config.gateway.endpoint}"


def environment(gateway: RunningGateway, session: str, token: str | None = None) -> dict[str, str]:
    """Of a client in a session of its own, which knows of the gateway its endpoint alone."""
    place = gateway.directory / "clients" / session
    place.mkdir(parents=True)
    (place / "token").write_text(token or gateway.world.issuer.token("alice"))
    file = place / "credentials.json"
    write_credentials(file, audience_for("acme", session), place / "token", endpoint=url(gateway))
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), NOWHERE)
    direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    variables = endpoint_environment(url(gateway), file, gateway.world.project)
    return child_environment(os.environ, {**variables, **proxies, **direct, **private(place)})


def test_every_client_gets_its_rows_and_is_recorded(client: Client, gateway: RunningGateway) -> None:
    session = str(uuid7())
    last = 2_500
    sql = f"SELECT n FROM UNNEST(GENERATE_ARRAY(1, {last})) AS n ORDER BY n"
    outcome = client.pages(environment(gateway, session), sql, 1_000)
    assert [row["n"] for row in outcome.result] == [str(n) for n in range(1, last + 1)]
    recorded = gateway.recorded(session)
    assert (recorded.session.principal.email, recorded.session.agent) == ("alice@acme.example", client.agent)
    assert sql in [job.statement for job in recorded.jobs]
    assert {flow.host for flow in recorded.flows} == {"bigquery.googleapis.com"}


@pytest.mark.exhaustive
def test_every_client_hears_why_it_is_refused(client: Client, gateway: RunningGateway, world: World) -> None:
    before = len(world.bigquery.requests())
    refused = client.query(environment(gateway, str(uuid7()), token="garbage"), "SELECT 1")
    assert "hoop-mitm" in refused.complaint
    denied = client.query(environment(gateway, str(uuid7())), "SELECT * FROM `elsewhere.secret.table`")
    assert denied.error
    assert all("elsewhere" not in str(request.path) for request in world.bigquery.requests()[before:])


@pytest.mark.parametrize("how", ["api_endpoint", "apiEndpoint", "--api"])
def test_an_address_in_the_clients_own_settings(how: str, gateway: RunningGateway) -> None:
    """Where there is no variable to set: the library's option, the command's flag."""
    session = str(uuid7())
    given = {
        name: value
        for name, value in environment(gateway, session).items()
        if not name.startswith("BIGQUERY_E") and "OVERRIDES_BIGQUERY" not in name
    }
    try:
        match how:
            case "api_endpoint":
                script = "import sys; from google.cloud import bigquery\n"
                script += "client = bigquery.Client(client_options={'api_endpoint': sys.argv[1]})\n"
                script += "print(list(client.query('SELECT 41 + 1 AS n').result()))"
                done = run(given, sys.executable, "-c", script, url(gateway))
            case "apiEndpoint":
                script = "const {BigQuery} = require('@google-cloud/bigquery');"
                script += "new BigQuery({apiEndpoint: process.argv[1]}).query('SELECT 41 + 1 AS n')"
                script += ".then(([rows]) => console.log(JSON.stringify(rows)))"
                modules = {"NODE_PATH": str(environments.node_modules())}
                done = run({**given, **modules}, environments.node(), "-e", script, url(gateway))
            case _:
                flags = ("--quiet", "--format=json", "--api", url(gateway))
                done = run(given, environments.bq(), *flags, "query", "--nouse_legacy_sql", "SELECT 41 + 1 AS n")
    except NotHere as reason:
        pytest.skip(str(reason))
    assert (done.returncode, "42" in done.stdout) == (0, True), done.stdout + done.stderr
    assert [job.statement for job in gateway.recorded(session).jobs] == ["SELECT 41 + 1 AS n"]


@pytest.mark.parametrize("client", ["python", "node"])
def test_rows_are_loaded_through_the_endpoint(client: str, gateway: RunningGateway, world: World) -> None:
    """An upload is answered with an address to go on at: the client goes on at the endpoint."""
    session, table = str(uuid7()), f"shop.loaded_by_{client}_{uuid7().hex}"
    given = environment(gateway, session)
    rows = '[{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]'
    if client == "python":
        done = run(given, sys.executable, DRIVERS / "python_rest.py", "load", table, rows)
        assert '"loaded": 2' in done.stdout, done.stdout + done.stderr
    else:
        try:
            Node().ready()
        except NotHere as reason:
            pytest.skip(str(reason))
        file = gateway.directory / "rows.json"
        file.write_text('{"id": 1, "name": "one"}\n{"id": 2, "name": "two"}\n')
        script = "const {BigQuery} = require('@google-cloud/bigquery'); const [, where, table, file] = process.argv;"
        script += "const [dataset, name] = table.split('.');"
        script += "new BigQuery({apiEndpoint: where}).dataset(dataset).table(name)"
        script += ".load(file, {autodetect: true, sourceFormat: 'NEWLINE_DELIMITED_JSON'})"
        script += ".then(([job]) => console.log('loaded', job.statistics.load.outputRows))"
        given = {name: value for name, value in given.items() if name != "BIGQUERY_EMULATOR_HOST"}
        modules = {"NODE_PATH": str(environments.node_modules())}
        done = run({**given, **modules}, environments.node(), "-e", script, url(gateway), table, str(file))
        assert "loaded 2" in done.stdout, done.stdout + done.stderr
    doors = [flow.door for flow in gateway.recorded(session).flows]
    assert doors.count("jobs.insert") == 1


def test_a_client_that_has_an_address_and_nothing_else(gateway: RunningGateway, world: World) -> None:
    """The last resort: the token stands in the address, like a proxy's password."""
    token = world.issuer.token("alice")
    script = "from google.auth.credentials import AnonymousCredentials; from google.cloud import bigquery\n"
    script += "client = bigquery.Client(credentials=AnonymousCredentials(), project='acme')\n"
    script += "print(list(client.query('SELECT 41 + 1 AS n').result()))"
    given = {**os.environ, "BIGQUERY_EMULATOR_HOST": f"http://token:{token}@{gateway.config.gateway.endpoint}"}
    done = subprocess.run([sys.executable, "-c", script], env=given, capture_output=True, text=True, check=False)
    assert "42" in done.stdout, done.stderr
