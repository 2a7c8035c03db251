"""The museum of evasions, before a read-only policy."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoop_mitm import bigquery
from hoop_mitm.config.policy import RuleSet
from hoop_mitm.devkit.world import World
from hoop_mitm.errors import Denied
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy import Policy, Question
from hoop_mitm.sql import understand
from tests.attacks.museum import ROOMS, Exhibit

EXHIBITS = [pytest.param(exhibit, id=f"{room} {n}") for room, all_ in ROOMS.items() for n, exhibit in enumerate(all_)]
READ_ONLY = Policy(RuleSet.model_validate({"rules": [{"name": "readers", "verdict": "allow", "read_only": True}]}))
EVE = Principal(issuer="https://issuer.example", subject="eve")
FEWEST = 120
BAIT = "bait"


def decision(statement: str) -> str:
    """What becomes of a request with this statement: as the gateway's stages read, understand and decide."""
    path = "/bigquery/v2/projects/acme/queries"
    door = bigquery.find("bigquery.googleapis.com", "POST", path)
    body = json.dumps({"query": statement, "useLegacySql": False}).encode()
    headers = {"content-type": "application/json"}
    try:
        operation = bigquery.read(door, path=path, query=[], headers=headers, body=body)
    except Denied:
        return "deny"
    facts = understand(operation.statement or "", project=operation.project)
    return READ_ONLY.decide(Question(EVE, "warehouse", operation, facts)).verdict.decision


@pytest.mark.parametrize("exhibit", EXHIBITS)
def test_exhibit(exhibit: Exhibit) -> None:
    facts = understand(exhibit.statement, project="acme")
    assert ("opaque" if facts.opaque else facts.verb) == exhibit.taken, facts
    assert decision(exhibit.statement) == ("allow" if exhibit.taken == "read" else "deny")


def test_the_museum_is_worth_a_visit() -> None:
    assert sum(exhibit.taken != "read" for room in ROOMS.values() for exhibit in room) >= FEWEST
    assert all(any(exhibit.taken != "read" for exhibit in room) for room in ROOMS.values())


# ---------------------------------------------------------------------------------------------- by a real executor

_READS = [
    "SELECT 1", "SELECT * FROM bait.prey", "SELECT COUNT(*) AS n FROM bait.prey AS p WHERE p.id > 1", "SELECT 'a;b', \"--\"",
    "WITH x AS (SELECT id FROM bait.prey) SELECT * FROM x", "SELECT CASE WHEN TRUE THEN 1 ELSE 2 END",
    "(SELECT 1) UNION ALL (SELECT 2)", "DECLARE v INT64 DEFAULT 1", "SET v = 2", "SELECT `id` FROM `bait.prey`",
    "CREATE TEMP FUNCTION f(x INT64) AS (x + 1)", "FROM bait.prey |> WHERE id > 1", "SELECT r'a'", "SELECT 1 AS `drop`",
]  # fmt: skip
_WRITES = [
    "DELETE FROM bait.prey WHERE TRUE", "DROP TABLE bait.prey", "INSERT INTO bait.prey VALUES (9)",
    "UPDATE bait.prey SET id = 9 WHERE TRUE", "TRUNCATE TABLE bait.prey", "CREATE TABLE bait.more AS SELECT 1 AS x",
    "CREATE OR REPLACE TABLE bait.prey AS SELECT 9 AS id", "ALTER TABLE bait.prey ADD COLUMN more INT64", "DROP SCHEMA bait CASCADE",
    "CREATE VIEW bait.more AS SELECT 1 AS x", "EXECUTE IMMEDIATE 'DELETE FROM bait.prey WHERE TRUE'",
    "MERGE bait.prey USING (SELECT 1) ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE",
]  # fmt: skip
# What may end, begin or hide a statement, for one reader and not for another.
_GLUE = [
    ";", " ; ", "\n", "\r", " ", "--", "-- ", "#", "/*", "*/", "/**/", "'", '"', "`", "'''", '"""', "\\", "r'", "b'", "(", ")", ",",
    "|>", "BEGIN ", " END", "; END;", "IF TRUE THEN ", "; END IF;", "ELSE ", "WITH y AS (", " AS ", "\u2028", "\u00a0", "$$", "{{", "/*+", "*//*",
    "--\r", "\\'", "\x00", "EXPLAIN ", "EXCEPTION WHEN ERROR THEN ", " UNION ALL ", "/* ; */",
]  # fmt: skip

_pieces = st.one_of(st.sampled_from(_READS), st.sampled_from(_WRITES), st.sampled_from(_GLUE))
_anything = st.lists(_pieces, min_size=1, max_size=9).map("".join)
# A read with something in its glue, and a write behind: what a gateway wants to be sure of.
_smuggled = st.tuples(
    st.sampled_from(_READS), st.lists(st.sampled_from(_GLUE), max_size=4).map("".join), st.sampled_from(_WRITES),
    st.lists(st.sampled_from(_GLUE), max_size=3).map("".join),
).map("".join)  # fmt: skip
# Glue between reads, so that enough of what is said passes and is run.
_harmless = st.lists(st.sampled_from([*_READS, ";", "; ", "\n;", "/* ; */", "-- '\n"]), min_size=1, max_size=5).map(
    "".join
)


class Prey:
    """A dataset of the emulator with one table in it, which nobody may touch."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.run = 0
        for statement in (
            f"CREATE SCHEMA {BAIT}",
            f"CREATE TABLE {BAIT}.prey AS SELECT * FROM UNNEST([1, 2, 3]) AS id",
        ):
            status, answer = self._query(statement)
            assert status == 200, answer
            assert not answer.get("errors"), answer
        self.before = self.looks()

    def looks(self) -> object:
        """Everything that a write could change: datasets, tables, rows."""
        called = [
            self._world.emulator.call("GET", f"/bigquery/v2/projects/acme/{path}")[1]
            for path in (
                "datasets",
                f"datasets/{BAIT}/tables",
                f"datasets/{BAIT}/tables/prey",
                f"datasets/{BAIT}/tables/prey/data",
            )
        ]
        names = [
            sorted(each["id"] for each in called[0]["datasets"]),
            sorted(each["id"] for each in called[1]["tables"]),
        ]
        return [*names, called[2].get("schema"), sorted(map(str, called[3].get("rows", ())))]

    def offer(self, statement: str) -> None:
        """Runs a statement; whether BigQuery finds it valid does not matter."""
        self.run += 1
        self._query(statement)

    def _query(self, statement: str) -> tuple[int, dict]:
        body = {"query": statement, "useLegacySql": False}
        return self._world.emulator.call("POST", "/bigquery/v2/projects/acme/queries", json_body=body)


@pytest.fixture(scope="module")
def prey(world: World) -> Iterator[Prey]:
    made = Prey(world)
    yield made
    made.offer(f"DROP SCHEMA {BAIT} CASCADE")


def test_the_executor_does_write(world: World, prey: Prey) -> None:
    prey.offer(f"CREATE TABLE {BAIT}.seen AS SELECT 1 AS x")
    assert prey.looks() != prey.before
    prey.offer(f"DROP TABLE {BAIT}.seen")
    assert prey.looks() == prey.before


def test_no_statement_that_passes_is_executed_as_a_write(prey: Prey) -> None:
    began = prey.run

    @settings(max_examples=1200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(_smuggled, _anything, _harmless))
    def passes_and_writes_nothing(statement: str) -> None:
        if decision(statement) == "allow":
            prey.offer(statement)
            assert prey.looks() == prey.before

    passes_and_writes_nothing()
    assert prey.run - began > 50


def test_nor_is_one_of_the_museum(prey: Prey) -> None:
    for room in ROOMS.values():
        for exhibit in room:
            if exhibit.taken == "read":
                prey.offer(exhibit.statement.replace("shop.orders", f"{BAIT}.prey"))
    assert prey.looks() == prey.before
