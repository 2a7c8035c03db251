"""What a log may say: one bounded line per message, and nothing in it that came from a client and may be a secret.

Libraries quote in their messages and errors what they could not read. That is where a token ends up whose header was
cut off or misspelt, before anybody has seen that it is one: so here secrets are also found by what stands before them,
and where in doubt more is left out than in a recording.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType

from hoop_mitm.errors import HoopError
from hoop_mitm.recording.redaction import HANDLED_PARAMETERS, REDACTED, SECRET_HEADERS, SECRET_PARAMETERS, Redactor

#: Characters of a message that are written.
LONGEST_MESSAGE = 2000
_LONGEST_READ = 2**16
_LONGEST_PLACE = 900
_PLACES = 6
_CAUSES = 4


def _any_of(names: frozenset[str]) -> str:
    return "|".join(re.escape(name).replace("_", "(?:_|%5F)") for name in sorted(names, key=len, reverse=True))


# Names are found in the middle of words as well, and quoted as JSON or as Python's repr has them.
_NAMED = (
    # A header's value goes to the end of its line, which may itself be written as an escape.
    re.compile(
        rf"(?P<name>(?:{_any_of(SECRET_HEADERS | {'x-guploader-uploadid'})})(?:['\"]\s*[,:=]|\s*[:=])\s*)"
        r"(?:(?!\\[rn])[^\r\n])++",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<name>(?:bearer|basic|dpop)(?:\s|\\[trn]|%20|%09|\+)++)\S++", re.IGNORECASE),
    re.compile(
        rf"(?P<name>(?:{_any_of(SECRET_PARAMETERS | HANDLED_PARAMETERS)})"
        r"(?:\s*(?:=|%3D)\s*|\\*['\"]\s*[,:]\s*b?\\*)['\"]?)[^\s&'\"]++",
        re.IGNORECASE,
    ),
)
_UNNAMED = (
    # Beginnings of tokens, of which the rest is missing.
    re.compile(r"eyJ[\w-]{8,}+[\w.-]*+|ya29\.[\w.-]*+|\[redacted\*++\]"),
    # Nobody reads a word of this length, and nobody knows what it is.
    re.compile(r"[\w+/=.~%-]{256,}+"),
)


class LogFilter(logging.Filter):
    """Rewrites each record's message; lets every record pass. Never raises.

    Known secrets, what has the shape of one, and what stands behind a telling name become ``[redacted]``. Control
    characters are escaped and the message is cut at 2,000 characters. Of an exception its type and place stay, and its
    text only where that cannot quote what was read: for our own errors, and the operating system's.

    It belongs on handlers (``handler.addFilter``): a logger's filters do not see what its children log.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message, place = _message(record), _exception(record)
            text = self._clean(message[:_LONGEST_READ])
            room = LONGEST_MESSAGE - len(place)
            if len(text) > room:
                note = f"… [{len(message)} characters]"
                text = text[: room - len(note)] + note
            text += place
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a message, it must not be written as it is
            text = f"a message that cannot be shown ({type(error).__name__}), from {record.pathname}:{record.lineno}"
        record.msg, record.args = text, None
        record.exc_info = record.exc_text = record.stack_info = None
        return True

    def _clean(self, text: str) -> str:
        text = self._redactor.text(text)
        for pattern in _NAMED:
            text = pattern.sub(rf"\g<name>{REDACTED}", text)
        for pattern in _UNNAMED:
            text = pattern.sub(REDACTED, text)
        return _escaped(text)


def _message(record: logging.LogRecord) -> str:
    message = _told(record.msg) if isinstance(record.msg, BaseException) else str(record.msg)
    match record.args:
        case tuple() as args if args:
            return message % tuple(_told(arg) if isinstance(arg, BaseException) else arg for arg in args)
        case dict() as named if named:
            return message % {k: _told(arg) if isinstance(arg, BaseException) else arg for k, arg in named.items()}
    return message


def _exception(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
    if not isinstance(error, BaseException):
        return ""
    return f" | {described(error)}"


def described(error: BaseException) -> str:
    """An error's type and place, and its causes', in one line that quotes nothing of what it was about."""
    told = "; from ".join(f"{_told(each)}{_place(each.__traceback__)}" for each in _chain(error))
    return _escaped(told)[:_LONGEST_PLACE]


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            return
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _told(error: BaseException) -> str:
    match error:
        case HoopError():
            return str(error)
        case OSError(strerror=str(reason)):
            return f"{type(error).__name__} ({reason})"
    return type(error).__name__


def _place(trace: TracebackType | None) -> str:
    """Where it happened: the innermost lines of our and others' code, the last one first."""
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{'/'.join(PurePath(code.co_filename).parts[-3:])}:{trace.tb_lineno} in {code.co_name}")
        # A recursion that has no end has very many.
        frames = frames[-_PLACES:]
        trace = trace.tb_next
    return f" at {' < '.join(reversed(frames))}" if frames else ""


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
