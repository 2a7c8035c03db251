"""From journal records to rows of the archive's tables."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from hoop_mitm.recording.archive_file import ArchiveFile
from hoop_mitm.recording.joining import Bodies, Joiner, tables_of
from hoop_mitm.recording.remarks import Remark
from hoop_mitm.recording.unfolded import Row

LOST = "The gateway ended before the answer came: whether BigQuery carried it out is unknown."
BROKEN = "The gateway ended while this was streaming: this is what had been recorded by then."

#: Names the fold's own events after the records that they are about.
_EVENTS = uuid.UUID("5b1f7a0e-9c53-4a39-8a4e-6d1a2f0c7e11")

_FLOWS_BY_ID = "SELECT * FROM flows WHERE id IN (FROM wanted)"
# The bounds are for the zone maps: ids are in the order of time, so nearly all of the table is passed over.
_REPLACE_FLOWS = """
    DELETE FROM flows
    WHERE id IN (SELECT id FROM batch)
        AND id BETWEEN (SELECT min(id) FROM batch) AND (SELECT max(id) FROM batch)
"""
_OPEN_ARE_LOST = "UPDATE flows SET error = ? WHERE state = 'open' AND error IS NULL"
_KNOWN_SESSIONS = "SELECT id, last_seen_at, ended_at FROM sessions WHERE id IN (FROM wanted)"
_SESSION_SEEN = """
    UPDATE sessions
    SET last_seen_at = batch.last_seen_at, ended_at = batch.ended_at
    FROM batch
    WHERE sessions.id = batch.id
"""
_KNOWN_EVENTS = "SELECT id, chain FROM events WHERE id IN (FROM wanted)"
_REMOVE_EVENTS = "DELETE FROM events WHERE id IN (FROM wanted)"


def lose_open(archive: ArchiveFile) -> None:
    """Say of the flows that are open in the archive that their outcome is unknown."""
    archive.execute(_OPEN_ARE_LOST, [LOST])


class Batch:
    """What some records come to. Bodies are read and understood when it is made, before the archive is opened."""

    def __init__(self, bodies: Bodies, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._joiner = Joiner(bodies)
        # The last word on each flow counts, and an intent is no word once there is an outcome.
        self._flows: dict[str, Row] = {}
        for row in rows:
            if row.kind == "flow":
                old = self._flows.get(row.note["id"])
                if old is None or row.note["state"] != "open" or old.note["state"] == "open":
                    self._flows[row.note["id"]] = row
        self._joiner.observe(self._flows.values())
        self._damaged: list[dict[str, Any]] = []

    def fold_into(self, archive: ArchiveFile) -> None:
        """Write everything; the caller has begun a transaction."""
        self._fold_sessions(archive)
        job_keys = self._joiner.join(archive)
        self._fold_flows(archive, job_keys)
        self._fold_events(archive)

    def _fold_flows(self, archive: ArchiveFile, job_keys: dict[str, str]) -> None:
        last_start = max((row.seq for row in self._rows if row.kind == "start"), default=0)
        if last_start:
            lose_open(archive)
        fresh = {id_: flow_row(row, job_keys.get(id_)) for id_, row in self._flows.items()}
        for id_, row in self._flows.items():
            if row.note["state"] == "open" and row.seq < last_start:
                fresh[id_]["error"] = LOST
        salvaged = [row for row in self._rows if row.kind == "salvage"]
        ids = list({*fresh, *(row.note["flow_id"] for row in salvaged)})
        if not ids:
            return
        stored = {flow["id"]: flow for flow in archive.rows_among(_FLOWS_BY_ID, ids)}
        changed = {id_: flow for id_, flow in fresh.items() if flow["state"] != "open" or _is_open(stored.get(id_))}
        for row in salvaged:
            flow = changed.get(row.note["flow_id"]) or stored.get(row.note["flow_id"])
            if flow is None:
                self._damaged.append(orphan(row))
            elif flow["state"] == "open" or flow["error"] == BROKEN:
                changed[flow["id"]] = truncated(flow, row)
        archive.execute_with(_REPLACE_FLOWS, "flows", changed.values())
        archive.insert("flows", sorted(changed.values(), key=lambda flow: str(flow["id"])))

    def _fold_sessions(self, archive: ArchiveFile) -> None:
        sessions: dict[str, dict[str, Any]] = {}
        began: dict[str, datetime] = {}
        ended: dict[str, datetime] = {}
        for row in self._rows:
            note = row.note if row.kind == "session" else row.note.get("session") if row.kind == "flow" else None
            if note:
                session = sessions.setdefault(note["id"], session_row(note))
                times = [_time(row.note.get("started_at")), _time(row.note.get("ended_at"))]
                session["last_seen_at"] = max(session["last_seen_at"], *filter(None, times))
                began[note["id"]] = max(began.get(note["id"], session["started_at"]), times[0] or session["started_at"])
            elif row.kind == "event" and row.note["type"] == "session.ended" and row.note["session_id"]:
                ended[row.note["session_id"]] = _moment(row.note["at"])
        ids = list({*sessions, *ended})
        if not ids:
            return
        known = {row["id"]: row for row in archive.rows_among(_KNOWN_SESSIONS, ids)}
        for id_ in ids:
            old = known.get(id_)
            session = sessions.setdefault(id_, dict(old)) if old else sessions.get(id_, {})
            if not session:
                continue
            if old:
                session["last_seen_at"] = max(session["last_seen_at"], old["last_seen_at"])
            end = ended.get(id_) or (old["ended_at"] if old else None)
            # One that goes on after its end was not over.
            session["ended_at"] = None if end and id_ in began and began[id_] > end else end
        archive.execute_with(_SESSION_SEEN, "sessions", [sessions[id_] for id_ in known if id_ in sessions])
        archive.insert("sessions", [session for id_, session in sessions.items() if id_ not in known])

    def _fold_events(self, archive: ArchiveFile) -> None:
        events = {row.note["id"]: event_row(row) for row in self._rows if row.kind == "event"}
        for row in self._rows:
            if row.kind == "unreadable":
                self._damaged.append(
                    own_event("recording.damaged", f"Record {row.seq} of the journal cannot be read.", row)
                )
        known = {row["id"]: row["chain"] for row in archive.rows_among(_KNOWN_EVENTS, list(events))} if events else {}
        # What the fold noticed and the gateway has recorded since.
        if noticed := [id_ for id_, chain in known.items() if chain is None and events[id_]["chain"] is not None]:
            archive.execute_among(_REMOVE_EVENTS, noticed)
        fresh = [event for id_, event in events.items() if id_ not in known or id_ in noticed]
        archive.insert("events", [*fresh, *self._damaged])


def session_row(note: dict[str, Any]) -> dict[str, Any]:
    """A session as the note of one has it; when it was last seen and ended, other records tell."""
    principal = note["principal"]
    program = note.get("program")
    started_at = _moment(note["started_at"])
    return {
        "id": note["id"],
        "name": note["name"],
        "connection": note["connection"],
        "issuer": principal["issuer"],
        "subject": principal["subject"],
        "email": principal["email"],
        "groups": principal["groups"],
        "kind": principal["kind"],
        "agent": note["agent"],
        "client_address": note["client_address"],
        "program": program["name"] if program else None,
        "process": _json(program["processes"]) if program else None,
        "started_at": started_at,
        "last_seen_at": started_at,
        "ended_at": None,
    }


def flow_row(row: Row, job_key: str | None) -> dict[str, Any]:
    """The row of a flow."""
    note = row.note
    operation = note["operation"] or {}
    return {
        "id": note["id"],
        "chain": row.chain,
        "seq": row.seq,
        "session_id": note["session"]["id"] if note["session"] else None,
        "job_key": job_key,
        "state": note["state"],
        "door": operation.get("door"),
        "kind": operation.get("kind"),
        "protocol": operation.get("protocol"),
        "http_version": note["http_version"],
        "method": note["method"],
        "host": note["host"],
        "url": note["url"],
        "tables": tables_of(note),
        "status": note["status"],
        "grpc_status": note["grpc_status"],
        "decision": note["verdict"]["decision"],
        "rule": note["verdict"]["rule"],
        "message": note["verdict"]["message"] or None,
        "error": note["error"] or _not_plain(note),
        "user_agent": note["user_agent"],
        "client_address": note["client_address"],
        "program": note.get("program"),
        "level": note["level"],
        "request_headers": _json(note["request"]["headers"]),
        "response_headers": _json(note["response"]["headers"]),
        "request_body": _hash(note["request"]["body"]),
        "request_size": note["request"]["size"],
        "response_body": _hash(note["response"]["body"]),
        "response_size": note["response"]["size"],
        "started_at": _moment(note["started_at"]),
        "ended_at": _time(note["ended_at"]),
    }


def event_row(row: Row) -> dict[str, Any]:
    note = row.note
    principal = note["principal"] or {}
    return {
        "id": note["id"],
        "chain": row.chain,
        "seq": row.seq,
        "occurred_at": _moment(note["at"]),
        "type": note["type"],
        "message": note["message"],
        "session_id": note["session_id"],
        "flow_id": note["flow_id"],
        "issuer": principal.get("issuer"),
        "subject": principal.get("subject"),
        "email": principal.get("email"),
        "client_address": note["client_address"],
        "details": _json(note["details"]),
    }


def own_event(type_: str, message: str, row: Row, **more: object) -> dict[str, Any]:
    """What the fold has to say about a record; the row stands for it."""
    # The same again, should that record be folded again into another archive.
    own = {"id": str(uuid.uuid5(_EVENTS, f"{row.chain}/{row.seq}/{type_}")), "chain": row.chain, "seq": row.seq}
    return Remark(type_, message).as_row() | own | more


def truncated(flow: dict[str, Any], row: Row) -> dict[str, Any]:
    """The row of a flow of which only so much is there as was salvaged."""
    side = row.note["side"]
    body = _hash(row.note["body"]) if flow["level"] == "full" else None
    return flow | {
        "state": "truncated",
        "error": BROKEN,
        "ended_at": datetime.fromtimestamp(row.note["at"], UTC),
        f"{side}_body": body,
        f"{side}_size": row.note["size"],
    }


def orphan(row: Row) -> dict[str, Any]:
    """The event that stands for what was salvaged of a flow that nobody knows."""
    return own_event(
        "recording.orphan",
        f"{row.note['size']} bytes of a stream's {row.note['side']} were recorded, but not what it belonged to.",
        row,
        flow_id=row.note["flow_id"],
        occurred_at=datetime.fromtimestamp(row.note["at"], UTC),
    )


def _is_open(flow: dict[str, Any] | None) -> bool:
    return flow is None or flow["state"] == "open"


def _not_plain(note: dict[str, Any]) -> str | None:
    for side in ("request", "response"):
        if (body := note[side]["body"]) and body.get("cut"):
            return f"The {side}'s body is not recorded as a whole: {body['cut']}."
        if body and body.get("encoded"):
            return f"The {side}'s body is recorded with its content encoding on: {body['encoded']}."
    return None


def _hash(body: dict[str, Any] | None) -> bytes | None:
    return bytes.fromhex(body["hash"]) if body else None


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _time(text: str | None) -> datetime | None:
    return _moment(text) if text else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
