"""Whatever is changed in an archive, `verify` sees it and says where; and what it cannot see is asserted too.

docs/verify.md lists the latter, with what closes it.
"""

from pathlib import Path

import duckdb
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoop_mitm.archive.verify import Report, verify
from hoop_mitm.errors import ArchiveError
from hoop_mitm.evidence import BodyCommitment, Chain, RecordingKey, first_link, link, record_digest, removals_digest
from hoop_mitm.evidence import split as split_
from tests.archive.verify.changing import ask, chain_again, change, other, plant, schema
from tests.archive.verify.conftest import path, recorded
from tests.archive.verify.recorded import Recorded

SCHEMA = schema()
__all__ = ["path", "recorded"]
EVIDENCE = ("records", "checkpoints", "removals", "observations", "bodies")
DERIVED = ("sessions", "jobs", "flows", "read_sessions", "events")
#: What tells rows from each other, or where they come from: to change one makes another row of it.
KEYS = {
    "sessions": {"id"},
    "jobs": {"key", "session_id"},
    "flows": {"id", "chain", "seq", "session_id"},
    "read_sessions": {"name"},
    "events": {"id", "chain", "seq"},
}
#: Nothing that was recorded says these, and nobody signs them.
UNSEEN = {("archive", "created_at"), ("archive", "written_by"), ("journals", "folded_at")}
ATTACKER = RecordingKey.of(Ed25519PrivateKey.from_private_bytes(b"a" * 32))

FIRST_FLOW = "(SELECT min(seq) FROM records WHERE kind = 'flow' AND data LIKE '%complete%')"
GATEWAY = "(SELECT chain FROM records WHERE NOT starts_with(chain, 'kept-') LIMIT 1)"


def check(path: Path, recorded: Recorded, *, heads: bool = False) -> Report:
    return verify(path, keys=[recorded.keys[0]], heads=[recorded.heads] if heads else [])


def broken(path: Path, recorded: Recorded) -> Report:
    report = check(path, recorded)
    assert not report.verified
    assert all(finding.words and finding.place.__class__ for finding in report.findings)
    return report


def told(report: Report) -> set[str]:
    return set(report.found)


def test_unchanged_it_verifies(path, recorded):
    report = check(path, recorded, heads=True)
    assert report.verified, report.findings
    assert report.checked["records"] > 40
    assert {"sessions", "jobs", "flows", "read_sessions", "events", "bodies"} <= {
        name for name, number in report.checked.items() if number
    }
    assert {chain.origin for chain in report.chains} == {"gateway", "archive"}
    removed = {part for chain in report.chains for part in chain.removed}
    assert removed == {"record", "statement", "exchange", "request_body", "response_body"}


@pytest.mark.parametrize("table", DERIVED)
def test_every_column_of_a_derived_table(path, recorded, table):
    columns = {name: type_ for name, (type_, _) in SCHEMA[table].items() if name not in KEYS[table]}
    edits = ", ".join(f'"{name}" = {other(name, type_)}' for name, type_ in columns.items())
    change(path, f"UPDATE {table} SET {edits} WHERE rowid = (SELECT max(rowid) FROM {table})")
    named = {finding.place.column for finding in broken(path, recorded).findings if finding.place.table == table}
    assert named >= columns.keys()


@pytest.mark.parametrize("table", DERIVED)
def test_every_value_that_is_taken_away(path, recorded, table):
    columns = [name for name, (_, nullable) in SCHEMA[table].items() if nullable and name not in KEYS[table]]
    counts = ", ".join(f'count("{name}")' for name in columns)
    there = [
        name for name, number in zip(columns, ask(path, f"SELECT {counts} FROM {table}")[0], strict=True) if number
    ]
    # Of one row each: of many findings only the first are told.
    newest = f'SELECT max(rowid) FROM {table} WHERE "{{0}}" IS NOT NULL'
    change(path, *(f'UPDATE {table} SET "{name}" = NULL WHERE rowid = ({newest.format(name)})' for name in there))
    named = {finding.place.column for finding in broken(path, recorded).findings if finding.place.table == table}
    assert named >= set(there)


@pytest.mark.parametrize(("table", "column"), [(table, column) for table in DERIVED for column in sorted(KEYS[table])])
def test_every_key(path, recorded, table, column):
    first = f"(SELECT min(rowid) FROM {table})"
    change(path, f"UPDATE {table} SET {column} = {other(column, SCHEMA[table][column][0])} WHERE rowid = {first}")
    assert {finding.place.table for finding in broken(path, recorded).findings} >= {table}


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table in (*EVIDENCE, "archive", "journals") for column in SCHEMA[table]],
)
def test_every_column_of_the_evidence(path, recorded, table, column):
    where = f"rowid = (SELECT min(rowid) FROM {table} WHERE {_there(column)})"
    change(path, f'UPDATE {table} SET "{column}" = {other(column, SCHEMA[table][column][0])} WHERE {where}')
    if (table, column) in UNSEEN:
        assert check(path, recorded).verified
    elif (table, column) == ("archive", "version"):
        with pytest.raises(ArchiveError, match="version 4"):
            check(path, recorded)
    else:
        broken(path, recorded)


def _there(column: str) -> str:
    return "data IS NOT NULL" if column == "data" else f'"{column}" IS NOT NULL'


@pytest.mark.parametrize("table", [*EVIDENCE, *DERIVED])
def test_a_row_that_is_deleted(path, recorded, table):
    change(path, f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    broken(path, recorded)


@pytest.mark.parametrize("table", [*EVIDENCE, *DERIVED, "archive"])
def test_a_row_that_is_there_twice(path, recorded, table):
    change(path, f"INSERT INTO {table} FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    broken(path, recorded)


@pytest.mark.parametrize("table", ["records", *DERIVED])
def test_a_table_that_is_emptied(path, recorded, table):
    change(path, f"DELETE FROM {table}")
    broken(path, recorded)


MOVED = "(SELECT seq FROM records WHERE kind = 'flow' AND data IS NOT NULL AND chain = {gateway} ORDER BY seq LIMIT 1 OFFSET {0})"


def place(number: int) -> str:
    """The number of the n-th exchange's record."""
    return MOVED.format(number, gateway=GATEWAY)


#: What is done to the chain, and what is found: one of these words, at a record.
CHAIN = {
    "a word in a record": (
        [
            f"UPDATE records SET data = replace(data, 'jobs.query', 'jobs.wuery') WHERE seq = {place(0)} AND chain = {GATEWAY}"
        ],
        "record.changed",
    ),
    "a record that is written in another way": (
        [f"UPDATE records SET data = data || ' ' WHERE seq = {place(0)} AND chain = {GATEWAY}"],
        "record.changed",
    ),
    "a digest": (
        [f"UPDATE records SET digest = from_hex(sha256('x')) WHERE seq = {place(0)} AND chain = {GATEWAY}"],
        "chain.broken",
    ),
    "a link": (
        [f"UPDATE records SET link = from_hex(sha256('x')) WHERE seq = {place(0)} AND chain = {GATEWAY}"],
        "chain.broken",
    ),
    "a record in the middle taken out with its row": (
        [
            f"DELETE FROM flows WHERE seq = {place(3)} AND chain = {GATEWAY}",
            f"DELETE FROM records WHERE seq = {place(3)} AND chain = {GATEWAY}",
        ],
        "record.missing",
    ),
    "two records that change places": (
        [
            f"CREATE TABLE x AS SELECT {place(0)} AS a, {place(2)} AS b, {GATEWAY} AS c",
            "UPDATE records SET seq = CASE seq WHEN a THEN b ELSE a END FROM x WHERE chain = c AND seq IN (a, b)",
            "UPDATE flows SET seq = CASE seq WHEN a THEN b ELSE a END FROM x WHERE chain = c AND seq IN (a, b)",
            "DROP TABLE x",
        ],
        "chain.broken",
    ),
    "two records that change contents": (
        [
            f"CREATE TABLE x AS SELECT {place(0)} AS a, {place(2)} AS b, {GATEWAY} AS c",
            "CREATE TABLE y AS SELECT records.* FROM records, x WHERE chain = c AND seq IN (a, b)",
            (
                "UPDATE records SET data = y.data, digest = y.digest, who = y.who, who_salt = y.who_salt, "
                "statement = y.statement, statement_salt = y.statement_salt, exchange = y.exchange, "
                "exchange_salt = y.exchange_salt FROM x, y WHERE records.chain = c AND records.seq IN (a, b) "
                "AND y.seq IN (a, b) AND y.seq <> records.seq"
            ),
            "DROP TABLE x",
            "DROP TABLE y",
        ],
        "chain.broken",
    ),
    "the first record": ([f"DELETE FROM records WHERE kind = 'genesis' AND chain = {GATEWAY}"], "chain.genesis"),
    "a record without a number": (
        [
            "CREATE OR REPLACE TABLE other AS FROM records",
            f"UPDATE other SET seq = -seq WHERE seq = {place(1)} AND chain = {GATEWAY}",
            "DELETE FROM records",
            "INSERT INTO records FROM other",
            "DROP TABLE other",
        ],
        "record.form",
    ),
    "a whole statement": (
        [f"UPDATE records SET statement = NULL, statement_salt = NULL WHERE seq = {place(0)} AND chain = {GATEWAY}"],
        "removal.missing",
    ),
    "a statement without its salt": (
        [f"UPDATE records SET statement = NULL WHERE seq = {place(0)} AND chain = {GATEWAY}"],
        "part.changed",
    ),
    "a statement that is another's": (
        [
            (
                f"UPDATE records SET statement = other.statement, statement_salt = other.statement_salt FROM (SELECT * FROM "
                f"records WHERE seq = {place(6)} AND chain = {GATEWAY}) AS other WHERE records.seq = {place(0)} "
                f"AND records.chain = {GATEWAY}"
            )
        ],
        "part.changed",
    ),
    "a part that the record never had": (
        ["UPDATE records SET who = '{}', who_salt = 'abcdefghijklmnop'::BLOB WHERE kind = 'start'"],
        "part.extra",
    ),
    "the contents of a record": (
        [
            (
                "UPDATE records SET data = NULL, who = NULL, who_salt = NULL, statement = NULL, statement_salt = NULL, "
                f"exchange = NULL, exchange_salt = NULL WHERE seq = {place(2)} AND chain = {GATEWAY}"
            ),
            f"DELETE FROM flows WHERE seq = {place(2)} AND chain = {GATEWAY}",
        ],
        "removal.missing",
    ),
    "the first signature": (
        ["DELETE FROM checkpoints WHERE number = 1 AND NOT starts_with(chain, 'kept-')"],
        "checkpoint.missing",
    ),
    "a signature in the middle": (["DELETE FROM checkpoints WHERE number = 3"], "checkpoint.missing"),
    "two signatures that change numbers": (
        ["UPDATE checkpoints SET number = 7 - number WHERE number IN (3, 4)"],
        "checkpoint.changed",
    ),
    "the key of the chain": (
        [
            f"UPDATE records SET data = replace(data, '\"key\":\"', '\"key\":\"0') WHERE kind = 'genesis' AND chain = {GATEWAY}",
        ],
        "record.changed",
    ),
    "the change of keys": (
        ["UPDATE checkpoints SET reason = 'minute' WHERE reason = 'rotation'"],
        "checkpoint.changed",
    ),
    "all signatures": ([f"DELETE FROM checkpoints WHERE chain = {GATEWAY}"], "chain.unsigned"),
    "a removal more": (
        [
            f"INSERT INTO removals SELECT chain, event_seq, 'statement', target_chain, {place(0)}, {place(0)} FROM removals LIMIT 1",
            f"UPDATE records SET statement = NULL, statement_salt = NULL WHERE seq = {place(0)} AND chain = {GATEWAY}",
        ],
        "removal.changed",
    ),
    "a removal that reaches further": (
        ["UPDATE removals SET first_seq = 1 WHERE part = 'statement'"],
        "removal.changed",
    ),
    "a removal of nobody's": (
        [f"INSERT INTO removals SELECT {GATEWAY}, {place(0)}, 'statement', {GATEWAY}, {place(0)}, {place(0)}"],
        "removal.unsigned",
    ),
    "all removals": (["DELETE FROM removals"], "removal.changed"),
    "the archive's own chain": (
        [
            "DELETE FROM records WHERE starts_with(chain, 'kept-')",
            "DELETE FROM checkpoints WHERE starts_with(chain, 'kept-')",
        ],
        "removal.unsigned",
    ),
    "what had been learnt": (["DELETE FROM observations"], "observations.changed"),
}


@pytest.mark.parametrize("name", CHAIN)
def test_the_chain(path, recorded, name):
    statements, what = CHAIN[name]
    change(path, *statements)
    report = broken(path, recorded)
    assert what in report.found, report.found
    assert all(finding.place.chain or finding.place.table for finding in report.findings)


def test_the_place_is_named_to_the_record(path, recorded):
    [(seq, chain)] = ask(path, f"SELECT {place(4)}, {GATEWAY}")
    change(
        path,
        f"UPDATE records SET exchange = replace(exchange, 'bigquery', 'bigquerx') WHERE seq = {seq} AND chain = '{chain}'",
    )
    [finding] = broken(path, recorded).findings
    assert (finding.what, finding.place.chain, finding.place.seq, finding.place.kind) == (
        "part.changed",
        chain,
        seq,
        "flow",
    )
    assert finding.place.session
    assert finding.place.at


def test_all_damage_is_reported_not_only_the_first(path, recorded):
    change(
        path,
        f"UPDATE records SET link = from_hex(sha256('x')) WHERE seq = {place(0)} AND chain = {GATEWAY}",
        f"UPDATE records SET data = data || ' ' WHERE seq = {place(5)} AND chain = {GATEWAY}",
        "UPDATE jobs SET statement = 'SELECT 0' WHERE id = 'job_bob'",
        "DELETE FROM events WHERE type = 'gateway.stopped'",
    )
    assert {"chain.broken", "record.changed", "row.changed", "row.missing"} <= told(broken(path, recorded))


BODY = "(SELECT hash FROM bodies ORDER BY hash LIMIT 1)"
OTHER_BODY = "(SELECT hash FROM bodies ORDER BY hash LIMIT 1 OFFSET 1)"
OTHER_BYTE = "CASE data[11:11] WHEN '\\x00'::BLOB THEN '\\x01'::BLOB ELSE '\\x00'::BLOB END"
#: Sixteen megabytes that a frame of some hundred bytes says it holds.
BOMB = zstandard.compress(bytes(2**24))
BODIES = {
    "a byte": (f"UPDATE bodies SET data = data[1:10] || {OTHER_BYTE} || data[12:] WHERE hash = {BODY}", "body.changed"),
    "another body": (f"UPDATE bodies SET data = (SELECT data FROM bodies WHERE hash = {OTHER_BODY}) WHERE hash = {BODY}",
                     "body.changed"),
    "the name of another": (f"UPDATE bodies SET hash = {OTHER_BODY} WHERE hash = {BODY}", "body.twice"),
    "the salt": (f"UPDATE bodies SET salt = 'abcdefghijklmnop'::BLOB WHERE hash = {BODY}", "body.changed"),
    "no salt, as if it were old": (f"UPDATE bodies SET salt = ''::BLOB WHERE hash = {BODY}", "body.changed"),
    "the size": (f"UPDATE bodies SET size = size + 1 WHERE hash = {BODY}", "body.changed"),
    "the part": (f"UPDATE bodies SET part = 1 WHERE hash = {BODY}", "body.changed"),
    "something behind it": (f"UPDATE bodies SET data = data || 'hidden'::BLOB WHERE hash = {BODY}", "body.changed"),
    "nothing": (f"DELETE FROM bodies WHERE hash = {BODY}", "removal.missing"),
    "one that nobody sent": ("INSERT INTO bodies SELECT from_hex(sha256('x')), 0, size, data, salt FROM bodies LIMIT 1",
                             "body.extra"),
    "a part more": (f"INSERT INTO bodies SELECT hash, 1, size, data, salt FROM bodies WHERE hash = {BODY}", "body.changed"),
    "a bomb": (f"UPDATE bodies SET data = from_hex('{BOMB.hex()}'), size = {2**24} WHERE hash = {BODY}", "body.changed"),
    "a bomb that says that it is small": (f"UPDATE bodies SET data = from_hex('{BOMB.hex()}') WHERE hash = {BODY}",
                                          "body.changed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_bodies(path, recorded, name):
    statement, what = BODIES[name]
    change(path, statement)
    assert what in broken(path, recorded).found
    assert verify(path, quick=True).verified


def test_two_sessions_that_change_their_names_and_exchanges(path, recorded):
    change(
        path,
        "CREATE TABLE x AS SELECT min(id) AS a, max(id) AS b FROM sessions WHERE name IN ('nightly', 'other')",
        *(
            f"UPDATE {table} SET session_id = CASE session_id WHEN a THEN b ELSE a END FROM x WHERE session_id IN (a, b)"
            for table in ("flows", "jobs", "events", "read_sessions")
        ),
        "UPDATE sessions SET id = CASE id WHEN a THEN b ELSE a END FROM x WHERE id IN (a, b)",
        "DROP TABLE x",
    )
    tables = {finding.place.table for finding in broken(path, recorded).findings}
    assert {"flows", "sessions", "jobs"} <= tables


def test_an_exchange_that_the_fold_is_said_to_hold_back(path, recorded):
    change(
        path,
        f"UPDATE journals SET held = [{place(0)}]",
        f"DELETE FROM flows WHERE seq = {place(0)} AND chain = {GATEWAY}",
    )
    assert "journal.changed" in told(broken(path, recorded))


def test_an_exchange_that_is_said_to_be_older_than_the_chain(path, recorded):
    change(path, f"UPDATE flows SET chain = NULL WHERE seq = {place(0)} AND chain = {GATEWAY}")
    assert "row.extra" in told(broken(path, recorded))


def test_an_event_that_is_said_to_be_nobodys(path, recorded):
    change(path, "UPDATE events SET chain = NULL, seq = 0, message = 'Nothing.' WHERE type = 'gateway.stopped'")
    assert {"row.extra", "row.missing"} <= told(broken(path, recorded))


def test_a_row_from_before_there_was_a_chain_is_planted(path, recorded):
    change(path, "INSERT INTO flows SELECT * REPLACE ('planted' AS id, NULL AS chain) FROM flows LIMIT 1")
    assert "row.extra" in told(broken(path, recorded))


@pytest.mark.parametrize(
    "statements",
    [
        # A view in a table's place, and one that leaves something out.
        ["ALTER TABLE flows RENAME TO hidden", "CREATE VIEW flows AS SELECT * FROM hidden WHERE decision = 'allow'"],
        ["CREATE OR REPLACE VIEW denials AS SELECT * FROM flows WHERE false"],
        ["DROP VIEW denials"],
        # What stands in for functions.
        ["CREATE MACRO sha256(x) AS 'evil'"],
        ["CREATE MACRO coalesce_(x) AS x", "CREATE MACRO count_star() AS 0"],
        ["CREATE MACRO octet_length(x) AS 32", "CREATE MACRO strlen(x) AS 1"],
        ["CREATE OR REPLACE MACRO usd_per_tib() AS (SELECT count(*) FROM flows)"],
        # What no archive has.
        ["CREATE TABLE more AS SELECT 1 AS x"],
        ["CREATE SCHEMA pg", "CREATE TABLE pg.flows AS FROM flows"],
        ["CREATE INDEX sneaky ON flows (id)"],
        ["CREATE SEQUENCE s"],
        ["CREATE TYPE mood AS ENUM ('good')"],
        ["CREATE VIEW more AS SELECT * FROM read_csv('/etc/passwd')"],
        # Tables that are not quite what they were.
        ["ALTER TABLE flows ADD COLUMN more VARCHAR"],
        ["ALTER TABLE flows DROP COLUMN user_agent"],
        ["ALTER TABLE flows ALTER status TYPE INTEGER"],
        ["ALTER TABLE flows ALTER url DROP NOT NULL"],
        ["ALTER TABLE flows ALTER url SET DEFAULT 'x'"],
        ["ALTER TABLE removals ALTER part TYPE VARCHAR COLLATE NOCASE"],
        # What a reader takes for documentation.
        ["COMMENT ON COLUMN flows.decision IS 'Nothing of interest.'"],
        ["COMMENT ON TABLE flows IS NULL"],
        ["COMMENT ON VIEW denials IS 'All that there is.'"],
    ],
    ids=lambda statements: statements[0][:40],
)
def test_how_the_file_is_built(path, recorded, statements):
    change(path, *statements)
    assert any(what.startswith("structure.") for what in told(broken(path, recorded)))


def test_another_price_is_said_and_allowed(path, recorded):
    change(path, "CREATE OR REPLACE MACRO usd_per_tib() AS 5.75", "COMMENT ON MACRO usd_per_tib IS 'ours'")
    report = check(path, recorded)
    assert report.verified
    assert any("usd_per_tib() is 5.75" in note for note in report.notes)


def test_what_can_be_computed_without_the_key_is_computed_anew(path, recorded):
    change(path, "UPDATE records SET statement = replace(statement, 'SELECT', 'DELETE') WHERE statement IS NOT NULL")
    chain_again(path)
    assert "checkpoint.head" in told(broken(path, recorded))


def test_all_of_it_anew_under_another_key_needs_the_key_or_heads(path, recorded):
    chain_again(path, key=ATTACKER)
    alone = verify(path)
    assert alone.verified, alone.findings
    assert "origin" in {limit.what for limit in alone.limits}
    assert ATTACKER.fingerprint in next(limit.words for limit in alone.limits if limit.what == "origin")
    assert "key.foreign" in told(check(path, recorded))
    assert {"heads.differ", "heads.form"} & told(verify(path, heads=[recorded.heads]))


def test_a_removal_in_a_chain_of_the_attackers_counts_for_nothing(path, recorded):
    """Also without the key: what takes from a chain is signed by the chain's own keys."""
    [(seq, target)] = ask(path, f"SELECT {place(0)}, {GATEWAY}")
    rows = [("statement", target, seq, seq)]
    with duckdb.connect(path) as connection:
        connection.execute(
            "UPDATE records SET statement = NULL, statement_salt = NULL WHERE seq = ? AND chain = ?", [seq, target]
        )
        chain = Chain.begin("kept-evil")
        genesis = {"chain": chain.id, "encoding": 1, "key": ATTACKER.fingerprint, "after": None}
        _append(connection, chain, "genesis", genesis | {"public": ATTACKER.public.public_bytes_raw().hex()})
        details = {"removals": removals_digest(rows)}
        event = {"id": "e", "type": "retention.applied", "message": "", "details": details, "session_id": None}
        _append(
            connection, chain, "event", event | {"flow_id": None, "principal": None, "client_address": "", "at": AT}
        )
        connection.execute(
            "INSERT INTO events SELECT * REPLACE ('e' AS id, 2 AS seq, 'kept-evil' AS chain) FROM events LIMIT 1"
        )
        connection.execute("INSERT INTO removals VALUES ('kept-evil', 2, 'statement', ?, ?, ?)", [target, seq, seq])
        plant(connection, chain.sign(ATTACKER, "kept"))
    found = told(verify(path))
    assert {"removal.unsigned", "removal.missing"} <= found


AT = "2026-11-22T12:00:00Z"


def _append(connection: duckdb.DuckDBPyConnection, chain: Chain, kind: str, note: dict[str, object]) -> None:
    data, parts = split_(kind, note)
    made = chain.next(data)
    values = [value for name in ("who", "statement", "exchange") for value in _part(parts.get(name))]
    connection.execute(
        "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [chain.id, made.seq, kind, data.decode(), made.digest, made.link, *values],
    )


def _part(part):
    return (part.salt, part.value.decode()) if part else (None, None)


#: The signature with which the last gateway began.
LAST_START = f"(SELECT min(number) FROM checkpoints WHERE number > 1 AND reason = 'start' AND chain = {GATEWAY})"
#: Everything behind a record, with whatever tells of it.
CUT = [
    f"CREATE TABLE x AS SELECT chain AS c, seq AS s FROM checkpoints WHERE number = {LAST_START} AND chain = {GATEWAY}",
    "DELETE FROM flows USING x WHERE chain = c AND flows.seq > s",
    "DELETE FROM events USING x WHERE chain = c AND events.seq > s",
    "DELETE FROM sessions WHERE id NOT IN (SELECT session_id FROM flows WHERE session_id IS NOT NULL)",
    "DELETE FROM jobs WHERE key NOT IN (SELECT job_key FROM flows WHERE job_key IS NOT NULL)",
    "DELETE FROM records USING x WHERE chain = c AND records.seq > s",
    "DELETE FROM checkpoints USING x WHERE chain = c AND checkpoints.seq > s",
    (
        "DELETE FROM bodies WHERE hash NOT IN (SELECT request_body FROM flows WHERE request_body IS NOT NULL UNION "
        "SELECT response_body FROM flows WHERE response_body IS NOT NULL)"
    ),
    "UPDATE journals SET folded_to = s FROM x",
    "DROP TABLE x",
]


def test_a_tail_that_is_cut_off_needs_heads(path, recorded):
    change(path, *CUT)
    without = check(path, recorded)
    assert without.verified, without.findings
    assert "tail" in {limit.what for limit in without.limits}
    with_heads = check(path, recorded, heads=True)
    assert "chain.cut" in told(with_heads)
    assert "The tail is cut off" in with_heads.findings[0].words


def test_signatures_that_are_cut_off_leave_a_tail_that_is_said_to_be_unsigned(path, recorded):
    change(path, f"DELETE FROM checkpoints WHERE number > {LAST_START} AND chain = {GATEWAY}")
    report = check(path, recorded)
    assert report.verified
    assert "unsigned" in {limit.what for limit in report.limits}


def test_heads_that_are_none_are_said_but_a_torn_last_line_is_a_crash(path, recorded, tmp_path):
    heads = tmp_path / "heads.jsonl"
    heads.write_text(recorded.heads.read_text() + '{"chain": "x", ')
    assert verify(path, heads=[heads]).verified
    lines = recorded.heads.read_text().splitlines()
    heads.write_text("\n".join([lines[0].replace('"reason":"start"', '"reason":"minute"'), *lines[1:], "[]", ""]))
    assert verify(path, heads=[heads]).found == {"heads.form": 2}


def test_first_links_and_digests_are_what_the_page_says(path):
    """docs/verify.md tells how to verify without this program."""
    [(chain, data, digest, linked, seq)] = ask(
        path, f"SELECT chain, data, digest, link, seq FROM records WHERE kind = 'genesis' AND chain = {GATEWAY}"
    )
    assert digest == record_digest(data.encode())
    assert linked == link(first_link(chain), seq, digest)
    hash_, salt, data = ask(path, "SELECT hash, salt, data FROM bodies LIMIT 1")[0]
    body = BodyCommitment(salt)
    body.update(zstandard.decompress(data))
    assert body.digest() == hash_
