"""From a record as the gateway has it to a journal entry: the work that must not be done on the event loop."""

from collections.abc import Mapping

import orjson

from hoop_mitm.recording.decoding import codings
from hoop_mitm.recording.encoding import BodyNote, encode, kind_of
from hoop_mitm.recording.journal import Body, BodyFile, Entry
from hoop_mitm.recording.observing import observe
from hoop_mitm.recording.pressing import Part, Press, plain_body
from hoop_mitm.recording.records import FlowRecord, Message, Record
from hoop_mitm.recording.redaction import Redactor

SIDES = ("request", "response")


def message_of(record: FlowRecord, side: str) -> Message:
    return record.request if side == "request" else record.response


def is_kept(record: Record) -> bool:
    """Whether the record is written at all: with recording ``off`` only refusals are.

    What is told of a flow beside its record (estimates, what rules observed) is told where its record is kept.
    """
    return not (isinstance(record, FlowRecord) and record.level == "off" and record.state != "refused")


def prepare(
    record: Record,
    redactor: Redactor,
    key: bytes,
    spooled: Mapping[str, tuple[BodyNote, BodyFile] | None] | None = None,
) -> Entry:
    """The journal entry of a record. ``spooled`` holds the bodies that were spooled, by side."""
    if not isinstance(record, FlowRecord):
        return Entry(kind_of(record), orjson.loads(encode(record, redactor)))
    if record.level != "full":
        return Entry("flow", orjson.loads(encode(record, redactor, observed=_observed(record))))
    outside = {side: found for side, found in (spooled or {}).items() if found is not None}
    notes: dict[str, BodyNote] = {side: note for side, (note, _) in outside.items()}
    bodies: dict[str, Body] = {}
    for side in SIDES:
        message = message_of(record, side)
        if message.body:
            press = Press(redactor, key, codings(message.headers))
            parts: tuple[Part, ...] = (*press.feed(message.body), *press.finish())
            if parts:
                bodies[side] = Body(press.digest, press.salt, press.commitment, parts)
                notes[side] = press.note
    files = {side: file for side, (_, file) in outside.items()}
    return Entry("flow", orjson.loads(encode(record, redactor, bodies=notes)), bodies, files)


def _observed(record: FlowRecord) -> Mapping[str, object]:
    """What the fold will not be able to read out of bodies, because this level does not keep them."""
    if record.operation is None or record.level == "off":
        return {}
    request, response = (
        plain_body(message.body, codings(message.headers)) if message.body else None
        for message in (record.request, record.response)
    )
    observation = observe(
        record.operation.door.name, record.state, record.url, record.status, request=request, response=response
    )
    return observation.plain(with_statement=record.level == "statements")
