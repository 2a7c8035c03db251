"""What exports of exchanges say alike."""

import http

from hoop_mitm.archive.entries import FlowEntry, JobEntry

_REASONS = {int(status): status.phrase for status in http.HTTPStatus}


def reason(status: int) -> str:
    """The words that belong to an HTTP status; empty for an unknown one."""
    return _REASONS.get(status, "")


def comment(flow: FlowEntry, job: JobEntry | None) -> str:
    """What an exchange was for, and what the gateway said to it."""
    parts = [flow.door, f"job #{job.number}" if job else None, f"{flow.verdict.decision} ({flow.verdict.rule})"]
    words = ", ".join(part for part in parts if part)
    return f"{words}: {flow.verdict.message}" if flow.verdict.message else words


def text(body: bytes) -> str | None:
    """A body as text; ``None`` when it is none."""
    try:
        return None if b"\0" in body else body.decode()
    except UnicodeDecodeError:
        return None
