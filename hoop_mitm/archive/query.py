"""What a search asks, as SQL: jobs, exchanges and events that match, newest first.

An exchange is found through its job. On its own it is found where it has none, or where something befell it that the
job does not tell: it was refused, or it failed. An event is found unless it only tells of an exchange that is found.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self

from hoop_mitm.archive import stored
from hoop_mitm.archive.database import Database
from hoop_mitm.bigquery.statement_types import statement_types
from hoop_mitm.errors import NotInArchive
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.verdict import Decision

type HitKind = Literal["job", "flow", "event"]

#: Keys of jobs, ids of exchanges and of events.
type Among = Mapping[HitKind, Sequence[str]]

_KINDS: tuple[HitKind, ...] = ("event", "flow", "job")
_CURSOR = re.compile(rf"(\d{{1,18}})-({'|'.join(_KINDS)})-(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; all that is given must hold. Words are compared without regard to case.

    Attributes:
        text: stands in the statement (or the one that BigQuery was given), a table's name, an error or refusal, the
            principal's e-mail or subject, the program that asked (``Cursor › zsh › bq``), a label (``name=value``), the
            job's id, the URL of an exchange without a job, or the details of an event. Any white space in it matches any white space.
        rows: look for ``text`` in the rows that clients got, too.
        principal: part of the e-mail or subject.
        connection: the connection's whole name.
        table: a table that was read, written or asked for: ``orders``, ``shop.orders`` or ``acme.shop.orders``;
            ``*`` stands for anything.
        since / until: asked at that time or later; before that time.
        verdict: about the job or exchange; a refusal that is an event counts as ``deny``. With ``review`` jobs that
            reviewers let run are found too, which count as ``allow`` as well.
        type: BigQuery's statement type or job type (``SELECT``, ``LOAD``; of a statement that BigQuery never saw, as of
            a denied one, the type that its words tell), the door of an exchange (``tabledata.list``), or the type of an
            event (``identity.refused``).
        min_bytes: jobs that read, and exchanges without a job that brought, at least so many bytes.
        session: the session's id.
    """

    text: str | None = None
    rows: bool = False
    principal: str | None = None
    connection: str | None = None
    table: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    verdict: Decision | None = None
    type: str | None = None
    min_bytes: int | None = None
    session: str | None = None

    def __str__(self) -> str:
        """What is given of it: ``text='salaries' verdict='deny'``."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        told = (
            f"{name}={value.isoformat() if isinstance(value, datetime) else repr(value)}"
            for name, value in given
            if value
        )
        return " ".join(told)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in what is found. ``str`` gives the text that ``parse`` reads."""

    microseconds: int
    kind: HitKind
    id: str

    @property
    def at(self) -> datetime:
        return stored.time(self.microseconds)

    def __str__(self) -> str:
        return f"{self.microseconds}-{self.kind}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise NotInArchive(
                f"{text!r} is no place in a search. Give --before what the search before called `next`; times go to "
                "--since and --until."
            )
        kind: HitKind = next(kind for kind in _KINDS if kind == match[2])
        return cls(int(match[1]), kind, match[3])


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that the filters let through; ``matched`` names where ``text`` stands in it, rows apart."""

    cursor: Cursor
    session_id: str | None
    principal: Principal | None
    matched: tuple[str, ...]


# Everything that can be found, in one shape. ``trouble`` is what was refused or went wrong, ``types`` what --type names.
_FOUND = """
    WITH
    -- By which program, where several use one session. Of polls and pages, which are most of all, this is not asked.
    asked AS (
        SELECT job_key, min_by(program, started_at) AS program
        FROM flows
        WHERE {programs} AND door IN ('jobs.insert', 'jobs.query', 'jobs.upload') AND job_key IS NOT NULL AND program IS NOT NULL
        GROUP BY job_key
    ),
    jobs_found AS (
        SELECT
            'job' AS kind, jobs.key AS id, jobs.started_at AS "at", session_id,
            connection, issuer, subject, email, groups, sessions.kind AS person, asked.program,
            statement, executed_statement,
            CASE WHEN destination IS NULL THEN referenced_tables ELSE list_append(referenced_tables, destination) END AS tables,
            concat_ws(chr(10), error, CASE WHEN decision <> 'allow' THEN rule END, message) AS trouble,
            list_transform(map_entries(labels), lambda label: concat(label.key, '=', label.value)) AS labels,
            jobs.id AS job, NULL AS url, NULL AS details,
            decision, rule = 'review.approved' AS reviewed, [statement_type, job_type] AS types,
            CASE WHEN dry_run THEN NULL ELSE bytes_processed END AS bytes
        FROM jobs
        LEFT JOIN sessions ON sessions.id = jobs.session_id
        LEFT JOIN asked ON asked.job_key = jobs.key
    ),
    -- Who it was where no session says so.
    told AS (
        SELECT flow_id, any_value(issuer) AS issuer, any_value(subject) AS subject, any_value(email) AS email
        FROM events
        WHERE flow_id IS NOT NULL
        GROUP BY flow_id
    ),
    flows_found AS (
        SELECT
            'flow' AS kind, flows.id, flows.started_at AS "at", flows.session_id,
            connection, coalesce(sessions.issuer, told.issuer) AS issuer, coalesce(sessions.subject, told.subject) AS subject,
            coalesce(sessions.email, told.email) AS email, groups, sessions.kind AS person, flows.program,
            NULL AS statement, NULL AS executed_statement,
            flows.tables,
            concat_ws(chr(10), flows.error, CASE WHEN flows.decision <> 'allow' THEN flows.rule END, flows.message) AS trouble,
            NULL AS labels,
            NULL AS job, flows.url, NULL AS details,
            flows.decision, false AS reviewed, [flows.door] AS types,
            CASE WHEN flows.job_key IS NULL THEN flows.response_size END AS bytes
        FROM flows
        LEFT JOIN sessions ON sessions.id = flows.session_id
        LEFT JOIN jobs ON jobs.key = flows.job_key
        LEFT JOIN told ON told.flow_id = flows.id
        -- Of one that waited the job tells, whatever became of it.
        WHERE (flows.job_key IS NULL OR flows.decision = 'deny' OR flows.error IS NOT NULL)
            AND (flows.job_key IS NULL OR flows.error IS NOT NULL OR jobs.decision IS DISTINCT FROM flows.decision)
    ),
    events_found AS (
        SELECT
            'event' AS kind, events.id, events.occurred_at AS "at", events.session_id,
            connection, coalesce(events.issuer, sessions.issuer) AS issuer,
            coalesce(events.subject, sessions.subject) AS subject, coalesce(events.email, sessions.email) AS email,
            groups, sessions.kind AS person, program,
            NULL AS statement, NULL AS executed_statement, [] AS tables,
            events.message AS trouble, NULL AS labels, NULL AS job, NULL AS url,
            -- What others looked for is not found again; in older recordings archive.read tells it.
            CASE WHEN events.type NOT IN ('archive.read', 'archive.search') AND json_valid(events.details)
                THEN array_to_string(json_extract_string(events.details, '$.*'), chr(10)) END AS details,
            CASE WHEN events.type LIKE '%.refused' OR events.type IN ('review.rejected', 'review.expired') THEN 'deny' END AS decision,
            false AS reviewed, [events.type] AS types, NULL AS bytes
        FROM events
        LEFT JOIN sessions ON sessions.id = events.session_id
        WHERE events.type NOT IN ('session.started', 'session.ended')
            AND events.id NOT IN (SELECT events.id FROM events JOIN flows ON flows.id = events.flow_id)
    ),
    everything AS (
        SELECT * FROM jobs_found
        UNION ALL SELECT * FROM flows_found
        UNION ALL SELECT * FROM events_found
    )
    SELECT
        epoch_us("at") AS microseconds, kind, id, session_id, issuer, subject, email, groups, person, {matched} AS matched
    -- Where the text stands is told of these few only.
    FROM (
        SELECT * FROM everything WHERE {wanted} ORDER BY "at" DESC, kind DESC, id DESC LIMIT $limit
    )
    ORDER BY "at" DESC, kind DESC, id DESC
"""

# Where a text can stand; the name is what a hit calls it.
_PLACES = {
    "statement": ("statement", "executed_statement"),
    "table": (
        "array_to_string(list_transform(tables, lambda t: concat_ws('.', t.project, t.dataset, t.\"table\")), chr(10))",
    ),
    "error": ("trouble",),
    "principal": ("concat_ws(chr(10), email, subject)",),
    "program": ("program",),
    "label": ("array_to_string(labels, chr(10))",),
    "job": ("job",),
    "url": ("url",),
    "details": ("details",),
}


def candidates(
    database: Database, query: Query, limit: int, before: Cursor | None = None, among: Among | None = None
) -> tuple[Candidate, ...]:
    """The newest ``limit`` of what ``query`` finds, after the place ``before``, of those in ``among`` only if it is given.

    With ``query.rows`` those are included in which ``text`` does not stand: it may stand in their rows.
    """
    values: dict[str, object] = {"limit": limit}
    places = _standing(query.text, values)
    conditions = [*_filters(query, values), *_of_type(database, query, values), *_after(before, values)]
    if among is not None:
        conditions.append(_are(among, values))
    if places and not query.rows:
        conditions.append(f"({' OR '.join(places.values())})")
    # Programs are few, and their names stand in few texts.
    programs = "true" if places and _stands_in_a_program(database, places["program"], values) else "false"
    matched = ", ".join(f"CASE WHEN {stands} THEN '{name}' END" for name, stands in places.items())
    statement = _FOUND.format(
        matched=f"list_filter(CAST([{matched}] AS VARCHAR[]), lambda name: name IS NOT NULL)",
        wanted=" AND ".join(conditions) or "true",
        programs=programs,
    )
    return tuple(_candidate(row) for row in database.all(statement, _clean(values)))


def _clean(values: Mapping[str, object]) -> dict[str, object]:
    """A command line may hold what is no text."""
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in values.items()
    }


def _standing(text: str | None, values: dict[str, object]) -> dict[str, str]:
    """For each place the condition that ``text`` stands there; none where no text is looked for."""
    if text is None:
        return {}
    words = text.split()
    if words == [text]:
        values["text"] = text
        stands: Callable[[str], str] = "contains(lower({}), lower($text))".format
    else:
        values["text"] = (r"[\s\v\p{Z}]+".join(map(re.escape, words))) if words else re.escape(text)
        stands = "regexp_matches({}, $text, 'i')".format
    return {name: f"({' OR '.join(map(stands, columns))})" for name, columns in _PLACES.items()}


_PROGRAMS = "SELECT 1 FROM (SELECT DISTINCT program FROM flows) WHERE {} LIMIT 1"


def _stands_in_a_program(database: Database, condition: str, values: Mapping[str, object]) -> bool:
    return bool(database.all(_PROGRAMS.format(condition), _clean({"text": values["text"]})))


def _filters(query: Query, values: dict[str, object]) -> Iterator[str]:
    if query.principal is not None:
        values["principal"] = query.principal
        yield "contains(lower(concat_ws(chr(10), email, subject)), lower($principal))"
    if query.connection is not None:
        values["connection"] = query.connection
        yield "connection = $connection"
    if query.session is not None:
        values["session"] = query.session
        yield "session_id = $session"
    if query.table is not None:
        yield _names(query.table, values)
    if query.since is not None:
        values["since"] = query.since
        yield '"at" >= $since'
    if query.until is not None:
        values["until"] = query.until
        yield '"at" < $until'
    if query.verdict is not None:
        values["verdict"] = query.verdict
        yield "(decision = $verdict OR ($verdict = 'review' AND reviewed))"
    if query.min_bytes is not None:
        values["min_bytes"] = query.min_bytes
        yield "bytes >= $min_bytes"


# What BigQuery never saw, or could not read, has no type of BigQuery's.
_UNTYPED = """
    SELECT key, statement
    FROM jobs
    WHERE statement_type IS NULL AND job_type = 'QUERY' AND contains(lower(statement), $word)
        AND started_at >= coalesce($since, '-infinity'::TIMESTAMPTZ) AND started_at < coalesce($until, 'infinity'::TIMESTAMPTZ)
"""


def _of_type(database: Database, query: Query, values: dict[str, object]) -> Iterator[str]:
    if query.type is None:
        return
    values["type"] = query.type
    # A type begins with the statement's own first word, but for those of queries and scripts.
    word = query.type.lower().partition("_")[0]
    asked = {"word": "" if word in ("select", "script") else word, "since": query.since, "until": query.until}
    keys = [key for key, text in database.all(_UNTYPED, _clean(asked)) if query.type.upper() in statement_types(text)]
    # One text, because DuckDB takes long over many values.
    values["untyped"] = "\n".join(keys)
    yield """(
        list_contains(list_transform(types, lambda type: lower(type)), lower($type))
        OR (kind = 'job' AND id IN (SELECT unnest(string_split($untyped, chr(10)))))
    )"""


def _names(table: str, values: dict[str, object]) -> str:
    """That one of the tables has this name, of which the project, or project and dataset, may be left out."""
    # Only a project may have dots in its name.
    parts = table.replace("`", "").rsplit(".", 2)
    columns = ("project", "dataset", "table")[-len(parts) :]
    conditions = []
    for column, part in zip(columns, parts, strict=True):
        values[f"table_{column}"] = _pattern(part)
        conditions.append(f"lower(t.\"{column}\") LIKE lower($table_{column}) ESCAPE '!'")
    return f"len(list_filter(tables, lambda t: {' AND '.join(conditions)})) > 0"


def _pattern(name: str) -> str:
    return re.sub(r"([!%_])", r"!\1", name).replace("*", "%")


def _are(among: Among, values: dict[str, object]) -> str:
    values |= {f"among_{kind}": "\n".join(ids) for kind, ids in among.items()}
    each = (f"(kind = '{kind}' AND id IN (SELECT unnest(string_split($among_{kind}, chr(10)))))" for kind in among)
    return f"({' OR '.join(each)})"


def _after(before: Cursor | None, values: dict[str, object]) -> Sequence[str]:
    if before is None:
        return ()
    values |= {"before_at": before.at, "before_kind": before.kind, "before_id": before.id}
    # The first says nothing new, but lets DuckDB leave out what is newer unread.
    return ('"at" <= $before_at', '("at", kind, id) < ($before_at, $before_kind, $before_id)')


def _candidate(row: tuple[Any, ...]) -> Candidate:
    microseconds, kind, id, session_id, issuer, subject, email, groups, person, matched = row  # noqa: A001
    principal = None
    if issuer is not None and subject is not None:
        principal = Principal(issuer, subject, email, tuple(groups or ()), person or "user")
    return Candidate(Cursor(microseconds, kind, id), session_id, principal, tuple(matched))
