"""What is recorded of one person: found by e-mail, or by issuer and subject."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hoop_mitm.identity.person import Person
from hoop_mitm.recording.retention.choosing import NO_HORIZON, Horizon, list_held, list_items, list_parts
from hoop_mitm.recording.retention.source import Source

# One person may have several e-mails, and one e-mail several subjects: at another issuer, or since somebody else has it.
_NAMED = """
    CREATE TABLE person AS
    SELECT DISTINCT issuer, subject
    FROM (
        SELECT issuer, subject, email FROM old.main.sessions
        UNION ALL
        SELECT issuer, subject, email FROM old.main.events WHERE subject IS NOT NULL
    )
    WHERE lower(email) = lower($who) OR issuer || '#' || subject IN (SELECT unnest($keys))
"""
_EMAILS = """
    SELECT DISTINCT email FROM (
        SELECT issuer, subject, email FROM old.main.sessions UNION ALL SELECT issuer, subject, email FROM old.main.events
    ) SEMI JOIN person USING (issuer, subject)
    WHERE email IS NOT NULL AND email <> ''
"""
_SESSIONS = """
    CREATE TABLE their_session AS
    SELECT DISTINCT id FROM old.main.sessions SEMI JOIN person USING (issuer, subject)
"""
# A review's events are its requester's, whoever decided; also when nothing is left of the session, or never was there. Who
# looked at the recording is named as a requester is.
_EVENTS = """
    CREATE TABLE told AS
    SELECT chain, seq, id, flow_id FROM old.main.events
    WHERE (email IS NOT NULL AND lower(email) IN (SELECT lower(unnest($emails))))
        OR (issuer, subject) IN (SELECT (issuer, subject) FROM person)
        OR (type LIKE 'review.%' AND json_valid(details)
            AND lower(json_extract_string(details, '$.requester')) IN (SELECT lower(unnest($requesters))))
        OR (type IN ('archive.read', 'archive.search') AND json_valid(details)
            AND lower(json_extract_string(details, '$.login')) IN (SELECT lower(unnest($requesters))))
        OR (subject IS NULL AND type NOT LIKE 'hold.%' AND regexp_matches(lower(message || ' ' || details), $pattern))
"""
# One that was recorded twice, because a gateway died before it had removed what it came from, has a row for the first record.
_TWICE = """
    INSERT INTO told
    SELECT noted.chain, noted.seq, told.id, told.flow_id
    FROM (
        SELECT chain, seq, CASE WHEN json_valid(data) THEN json_extract_string(data, '$.id') END AS id
        FROM old.main.records WHERE kind = 'event'
    ) AS noted
    JOIN told ON told.id = noted.id
    WHERE told.chain IS NOT NULL AND (told.chain, told.seq) <> (noted.chain, noted.seq)
"""
# What belongs to nobody's session is theirs when it names them (a refused sign-in, say), or when an event about it does.
_NAMING = """
    CREATE TABLE naming AS
    SELECT chain, seq FROM old.main.records
    WHERE regexp_matches(lower(concat_ws(' ', who, statement, exchange)), $pattern)
"""
_GOING = """
    CREATE TABLE going AS
    SELECT
        item.* EXCLUDE (theirs), NULL::VARCHAR AS share, false AS held, false AS words, false AS bodies,
        theirs AND coalesce(isfinite(item.ended), true) AS record, theirs
    FROM (
        SELECT *,
            coalesce(session_id IN (SELECT id FROM their_session), false)
            OR coalesce(row_id IN (SELECT id FROM told WHERE chain IS NULL), false)
            OR coalesce(session_id IS NULL AND flow_id IN (SELECT flow_id FROM told), false)
            OR (chain IS NOT NULL AND (
                (chain, seq) IN (SELECT (chain, seq) FROM told WHERE chain IS NOT NULL)
                OR (session_id IS NULL AND (chain, seq) IN (SELECT (chain, seq) FROM naming))
            )) AS theirs
        FROM item
    ) AS item
"""
_GONE_SESSIONS = """
    CREATE TABLE gone_session AS
    SELECT id, NULL::VARCHAR AS share FROM their_session
    WHERE id NOT IN (SELECT session_id FROM going WHERE NOT record AND session_id IS NOT NULL AND kind <> 'event')
"""
_COUNTS = """
    SELECT
        (SELECT count(*) FROM their_session),
        count(DISTINCT flow_id) FILTER (kind = 'flow' AND record), count(*) FILTER (kind = 'event' AND record),
        count(DISTINCT coalesce(flow_id, chain || '/' || seq)) FILTER (NOT record)
    FROM going WHERE theirs
"""
_JOBS = "SELECT count(*) FROM old.main.jobs WHERE session_id IN (SELECT id FROM their_session)"
_BODIES = "SELECT count(*), coalesce(sum(bytes), 0)::BIGINT FROM gone_body"
_GOING_ON = "SELECT count(*) FROM old.main.sessions SEMI JOIN their_session USING (id) WHERE ended_at IS NULL"
# Of somebody else's session, too: who reviewed in it, or read it, left a record there.
_HELD = """
    SELECT session_id FROM held
    WHERE session_id IN (SELECT id FROM their_session UNION ALL SELECT session_id FROM going WHERE theirs)
    ORDER BY 1
"""
_OTHERS = """
    SELECT count(DISTINCT coalesce(item.flow_id, item.chain || '/' || item.seq))
    FROM item JOIN naming USING (chain, seq)
    WHERE (chain, seq) NOT IN (SELECT (chain, seq) FROM going WHERE theirs AND chain IS NOT NULL)
"""
_OWN_WORK = """
    SELECT count(*) FROM old.main.records SEMI JOIN naming USING (chain, seq)
    WHERE (chain, seq) NOT IN (SELECT (chain, seq) FROM item WHERE chain IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """What is recorded of a person.

    Attributes:
        keys: their principals, as ownership is bound to them (:attr:`Principal.key`).
        names: e-mails, as the recording has them, and what they were asked for by.
        held: ids of sessions on hold that hold something of theirs: their own, and others' in which they reviewed or which they read.
        under_way: exchanges of theirs that go on, or did a moment ago, and stay for now; and sessions that go on, of which
            at least their end is still to be recorded.
        elsewhere: exchanges and events of other people, or of the archive's own work, that name them. They stay.
        claims: jobs and results that the gateway remembers as theirs.
        reviews, charges: of theirs in the gateway's state; 0 when nobody said where that lies.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    sessions: int
    flows: int
    jobs: int
    events: int
    bodies: int
    bytes: int
    held: tuple[str, ...]
    under_way: int
    elsewhere: int
    claims: int = 0
    reviews: int = 0
    charges: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.sessions or self.flows or self.events or self.claims or self.reviews or self.charges)


def choose_person(
    source: Source,
    who: str,
    held: Sequence[str],
    horizon: Horizon = NO_HORIZON,
    *,
    alive: bool = False,
    known: Person = Person.NOBODY,
) -> Traces:
    """Decide that all that is recorded of ``who`` goes: an e-mail, in whatever case, or ``ISSUER#SUBJECT``.

    ``alive``: a gateway is running, so a session without an end goes on. ``known``: what is known of their names already.
    """
    list_items(source, horizon)
    list_held(source, held)
    named = sorted(known.keys | Person.called(who).keys)
    source.execute(_NAMED, {"who": who, "keys": named})
    recorded = [email for (email,) in source.rows(_EMAILS)]
    emails = _addresses(recorded, [*known.emails, *((who,) if Person.called(who).emails else ())])
    found = {f"{issuer}#{subject}" for issuer, subject in source.rows("FROM person")}
    keys = tuple(sorted({*found, *named}))
    pattern = naming([*emails, *keys])
    source.execute(_SESSIONS)
    # Who has no address is called by their subject.
    requesters = emails or [key.rpartition("#")[2] for key in keys]
    source.execute(_EVENTS, {"emails": emails, "pattern": pattern, "requesters": requesters})
    source.execute(_TWICE)
    source.execute(_NAMING, {"pattern": pattern})
    source.execute(_GOING)
    source.execute(_GONE_SESSIONS)
    list_parts(source)
    ((sessions, flows, events, under_way),) = source.rows(_COUNTS)
    ((bodies, size),) = source.rows(_BODIES)
    return Traces(
        keys=keys,
        names=tuple(emails),
        sessions=sessions,
        flows=flows,
        jobs=source.one(_JOBS),
        events=events,
        bodies=bodies,
        bytes=size,
        held=tuple(session for (session,) in source.rows(_HELD)),
        under_way=under_way + (source.one(_GOING_ON) if alive else 0),
        elsewhere=source.one(_OTHERS) + source.one(_OWN_WORK),
    )


def _addresses(recorded: Sequence[str], others: Sequence[str]) -> list[str]:
    """All of them, each as the recording has it where it has it."""
    there = {each.lower() for each in recorded}
    return sorted({*recorded, *{each.lower(): each for each in others if each.lower() not in there}.values()})


def naming(names: Sequence[str]) -> str:
    """A regular expression (RE2) for text in lower case in which one of ``names`` stands, and not as a part of a longer one."""
    if not names:
        return r"$.^"
    either = "|".join(re.escape(name.lower()) for name in names)
    return rf"(^|[^a-z0-9._%+\-])({either})($|[^a-z0-9.\-]|[.\-]($|[^a-z0-9]))"
