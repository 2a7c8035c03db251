"""From a record as the gateway has it to a journal entry: the work that must not be done on the event loop."""

from collections.abc import Mapping

from hoop_mitm.recording.decoding import codings
from hoop_mitm.recording.encoding import BodyNote, encode, kind_of
from hoop_mitm.recording.journal import Body, Entry
from hoop_mitm.recording.observing import observe
from hoop_mitm.recording.pressing import Part, Press, plain_body
from hoop_mitm.recording.records import FlowRecord, Message, Record
from hoop_mitm.recording.redaction import Redactor

SIDES = ("request", "response")


def message_of(record: FlowRecord, side: str) -> Message:
    return record.request if side == "request" else record.response


def is_kept(record: Record) -> bool:
    """Whether the record is written at all: with recording ``off`` only refusals are."""
    return not (isinstance(record, FlowRecord) and record.level == "off" and record.state != "refused")


def prepare(
    record: Record, redactor: Redactor, key: bytes, spooled: Mapping[str, BodyNote | None] | None = None
) -> Entry:
    """The journal entry of a record. ``spooled`` holds the notes of the bodies that were spooled, by side."""
    if not isinstance(record, FlowRecord):
        return Entry(kind_of(record), encode(record, redactor))
    if record.level != "full":
        return Entry("flow", encode(record, redactor, observed=_observed(record)))
    notes: dict[str, BodyNote] = {side: note for side, note in (spooled or {}).items() if note is not None}
    bodies: dict[str, Body] = {}
    for side in SIDES:
        message = message_of(record, side)
        if message.body:
            press = Press(redactor, key, codings(message.headers))
            parts: tuple[Part, ...] = (*press.feed(message.body), *press.finish())
            if parts:
                bodies[side] = Body(press.digest, parts)
                notes[side] = press.note
    return Entry("flow", encode(record, redactor, bodies=notes), bodies)


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
