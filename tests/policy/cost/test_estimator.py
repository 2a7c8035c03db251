"""What a dry run tells, and what follows when it does not."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from hoop_mitm.bigquery import Door, Operation, TableRef
from hoop_mitm.config import ApplicationDefault, Connection
from hoop_mitm.errors import AskingError, CredentialError, Denied, EstimateRefused
from hoop_mitm.identity import Principal
from hoop_mitm.policy import Estimate
from hoop_mitm.policy.cost import Estimator, Prices
from hoop_mitm.policy.cost.estimator import Answered

ACME = Connection(name="acme", projects=("acme",), credential=ApplicationDefault(type="adc"))
ALICE = Principal("https://idp", "u1")
BOB = Principal("https://idp", "u2")
QUERY = Door("jobs.query", "admin", body="json")


def asked(statement: str = "SELECT 1", **more: Any) -> Operation:
    body = {"query": statement, "useLegacySql": False, **more}
    return Operation(QUERY, "acme", statement=statement, body=body)


def told(**query: Any) -> Answered:
    return Answered(200, json.dumps({"statistics": {"query": query}, "status": {"state": "DONE"}}).encode())


def error(status: int, reason: str = "invalidQuery", message: str = "Syntax error") -> Answered:
    problem = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}
    return Answered(status, json.dumps({"error": problem}).encode())


class Google:
    """Answers dry runs as it was told to, and counts them."""

    def __init__(self, answer: Answered | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.now = 0.0

    async def __call__(self, project: str, body: Mapping[str, Any], **_: Any) -> Answered:
        assert project == "acme"
        assert body["configuration"]["dryRun"] is True
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def estimator(self) -> Estimator:
        return Estimator(
            self,
            lambda connection, principal, _: (connection.name, principal.key),
            Prices(Decimal("6.25")),
            reuse=30,
            clock=lambda: self.now,
        )


def estimate(estimator: Estimator, operation: Operation, principal: Principal = ALICE) -> Any:
    return estimator.of(operation, connection=ACME, principal=principal)


def test_an_estimate_is_what_bigquery_says() -> None:
    google = Google(
        told(
            totalBytesProcessed=str(2**40),
            totalBytesProcessedAccuracy="UPPER_BOUND",
            statementType="SELECT",
            referencedTables=[{"projectId": "p", "datasetId": "d", "tableId": "t"}],
        )
    )

    found = asyncio.run(estimate(google.estimator(), asked()))

    assert found == Estimate(2**40, "SELECT", (TableRef("p", "d", "t"),), Decimal("6.25"), "UPPER_BOUND")


@pytest.mark.parametrize(
    ("query", "is_bound"),
    [
        ({"totalBytesProcessed": "5", "statementType": "SELECT"}, True),
        ({"totalBytesProcessed": 5, "statementType": "SELECT"}, True),
        ({"totalBytesProcessed": "0", "statementType": "SCRIPT"}, False),
        ({"totalBytesProcessed": "0", "statementType": "SELECT", "totalBytesProcessedAccuracy": "UNKNOWN"}, False),
    ],
)
def test_what_is_no_bound_is_known_to_be_none(query: dict[str, Any], is_bound: bool) -> None:
    assert asyncio.run(estimate(Google(told(**query)).estimator(), asked())).is_bound == is_bound


def test_a_query_without_end_has_no_bound() -> None:
    google = Google(told(totalBytesProcessed="5", statementType="SELECT"))

    assert not asyncio.run(estimate(google.estimator(), asked(continuous=True))).is_bound


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (error(400), "cost.refused_by_bigquery"),
        (error(404, "notFound", "Not found: Table a:b.c"), "cost.refused_by_bigquery"),
        (error(403, "accessDenied", "Access Denied"), "cost.refused_by_bigquery"),
        # About the moment, or about us, and not about the statement.
        (error(403, "rateLimitExceeded"), "cost.no_estimate"),
        (error(401, "authError"), "cost.no_estimate"),
        (error(429, "rateLimitExceeded"), "cost.no_estimate"),
        (error(503, "backendError"), "cost.no_estimate"),
        (Answered(400, b"<html>a proxy in between</html>"), "cost.no_estimate"),
        (Answered(200, b"<html>a proxy in between</html>"), "cost.no_estimate"),
        (Answered(200, b"{}"), "cost.no_estimate"),
        (told(statementType="SELECT"), "cost.no_estimate"),
        (told(totalBytesProcessed="many"), "cost.no_estimate"),
        (AskingError("BigQuery cannot be reached from here.", "Check the network."), "cost.no_estimate"),
        (CredentialError("Google refused the gateway's credential."), "cost.no_estimate"),
    ],
)
def test_without_an_estimate_there_is_a_denial(answer: Answered | Exception, rule: str) -> None:
    with pytest.raises(Denied) as denied:
        asyncio.run(estimate(Google(answer).estimator(), asked()))

    assert denied.value.rule == rule


def test_what_bigquery_says_of_a_wrong_statement_is_kept_as_it_is() -> None:
    answer = error(400, message="Syntax error: Unexpected identifier SELEC at [1:1]")

    with pytest.raises(EstimateRefused) as refused:
        asyncio.run(estimate(Google(answer).estimator(), asked("SELEC 1")))

    assert (refused.value.status, refused.value.body) == (400, answer.body)
    assert str(refused.value) == "Syntax error: Unexpected identifier SELEC at [1:1]"


@pytest.mark.parametrize(("reason", "status"), [("invalidQuery", 400), ("notFound", 404), ("accessDenied", 403)])
def test_a_job_that_has_failed_at_once_is_an_error_too(reason: str, status: int) -> None:
    body = {"status": {"state": "DONE", "errorResult": {"reason": reason, "message": "No."}}}

    with pytest.raises(EstimateRefused) as refused:
        asyncio.run(estimate(Google(Answered(200, json.dumps(body).encode())).estimator(), asked()))

    assert refused.value.status == status
    assert json.loads(refused.value.body)["error"]["errors"][0]["reason"] == reason


@pytest.mark.parametrize(
    ("other", "principal", "later", "asks"),
    [
        (asked(), ALICE, 0, 1),
        (asked(), ALICE, 29.9, 1),
        (asked(), ALICE, 30, 2),
        (asked("SELECT 2"), ALICE, 0, 2),
        (asked(defaultDataset={"datasetId": "d"}), ALICE, 0, 2),
        (asked(queryParameters=[{"name": "x"}]), ALICE, 0, 2),
        # How the answer is to look, and what the job is called, change nothing.
        (asked(maxResults=5, labels={"a": "b"}, requestId="r", maximumBytesBilled="1"), ALICE, 0, 1),
        # What one may see at Google, another may not.
        (asked(), BOB, 0, 2),
    ],
)
def test_an_estimate_is_good_for_exactly_the_same_and_for_a_short_time(
    other: Operation, principal: Principal, later: float, asks: int
) -> None:
    google = Google(told(totalBytesProcessed="5", statementType="SELECT"))
    estimator = google.estimator()

    async def twice() -> None:
        await estimate(estimator, asked())
        google.now += later
        await estimate(estimator, other, principal)

    asyncio.run(twice())

    assert google.asked == asks


def test_what_cannot_be_forwarded_with_a_limit_is_estimated_each_time() -> None:
    google = Google(told(totalBytesProcessed="5", statementType="SELECT"))
    estimator = google.estimator()
    tool = Operation(Door("mcp.execute_sql", "admin"), "acme", statement="SELECT 1", body={"query": "SELECT 1"})

    async def twice() -> None:
        await estimate(estimator, tool)
        await estimate(estimator, tool)

    asyncio.run(twice())

    assert google.asked == 2


def test_many_that_ask_at_once_are_one_question() -> None:
    google = Google(told(totalBytesProcessed="5", statementType="SELECT"))
    estimator = google.estimator()

    async def at_once() -> list[Any]:
        return await asyncio.gather(*(estimate(estimator, asked()) for _ in range(20)))

    assert len(set(asyncio.run(at_once()))) == 1
    assert google.asked == 1


def test_an_error_is_not_remembered() -> None:
    google = Google(error(503, "backendError"))
    estimator = google.estimator()

    async def twice() -> Estimate:
        with pytest.raises(Denied):
            await estimate(estimator, asked())
        google.answer = told(totalBytesProcessed="5", statementType="SELECT")
        found: Estimate = await estimate(estimator, asked())
        return found

    assert asyncio.run(twice()).processed_bytes == 5
