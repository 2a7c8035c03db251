"""Whatever a library quotes, a log tells no secret, stays on one line, and says where an error was."""

import io
import logging
import time

import pytest

from hoop_mitm.errors import RecordingError
from hoop_mitm.recording import LogFilter, Redactor
from tests.recording.test_redaction import JWT, ODD, TOKEN

SIGNATURE = JWT.split(".")[2]


def logged(message: object, *args: object, redactor: Redactor | None = None, error: BaseException | None = None) -> str:
    """What a handler with the filter writes, without the line's end."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(LogFilter(redactor or Redactor()))
    exc_info = (type(error), error, error.__traceback__) if error else None
    handler.handle(logging.LogRecord("x", logging.ERROR, __file__, 1, message, args, exc_info))
    return out.getvalue().removesuffix("\n")


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


PLAIN = [
    "Client connected.",
    "server connect bigquery.googleapis.com:443 (127.0.0.1:9050)",
    "The token has expired; run `hoop-mitm login`.",
    "127.0.0.1:5000: POST https://h/bigquery/v2/projects/acme/queries?prettyPrint=false << 200 OK 1.2k",
    "50 % done, authorization failed, no cookie, the key, a basic",
    "größer",
]


@pytest.mark.parametrize("message", PLAIN)
def test_what_is_no_secret_is_written_as_it_is(message: str) -> None:
    assert logged(message) == message


def test_a_message_is_put_together_as_ever() -> None:
    assert logged("%s of %d", "one", 2) == "one of 2"
    assert logged("%(a)s", {"a": 1}) == "1"


# The secret's place is {}; it has no shape, and nobody has protected it.
QUOTED = [
    "Bad header: Authorization: Bearer {}",
    "b'Authorization Bearer {}\\r\\n'",
    "AUTHORIZATION:{}",
    "authorization: Custom a b {}\r\nhost: x",
    "[(b'host', b'h'), (b'authorization', b'Bearer {}')]",
    "[(b'cookie', b'a={}; b=c')]",
    "{{'Proxy-Authorization': 'Basic {}'}}",
    "Set-Cookie: a=b; c={}",
    "bearer\t{}",
    "Bearer%20{}",
    "b'Bearer\\t{}'",
    "basic   {}==",
    "DPoP {}",
    "GET /x?access_token={} y HTTP/1.1",
    "/x?a=1&access%5Ftoken={}&b=2",
    "x?Access_Token={}",
    '{{"access_token": "{}", "a": 1}}',
    '{{\\"refresh_token\\": \\"{}\\"}}',
    "{{'client_secret': b'{}'}}",
    "subject_token={}&x=y",
    "/upload?upload_id={}",
    "x-goog-api-key: {}",
]


@pytest.mark.parametrize("message", QUOTED)
def test_what_stands_behind_a_telling_name_is_left_out_whatever_its_shape(message: str) -> None:
    secret = "s3cret-W1thout.shape"
    line = logged(message.format(secret))
    assert "s3cret" not in line
    assert "shape" not in line
    assert "[redacted]" in line
    assert logged("%s", message.format(secret)) == line


@pytest.mark.parametrize("secret", [JWT, JWT[:60], JWT[:-300], TOKEN, TOKEN[:12]], ids=len)
def test_a_token_is_known_by_its_beginning(secret: str) -> None:
    assert logged(f"cannot read {secret}") == "cannot read [redacted]"


def test_a_protected_value_is_left_out_without_a_name() -> None:
    redactor = Redactor()
    redactor.protect(ODD)
    assert logged(f"<{ODD}>", redactor=redactor) == "<[redacted]>"


def test_a_word_too_long_to_be_read_is_left_out() -> None:
    assert logged(f"broken: {SIGNATURE}") == "broken: [redacted]"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("a\nFAKE LINE", "a\\nFAKE LINE"),
        ("\x1b[2Jgone\r", "\\x1b[2Jgone\\r"),
        ("\u202egnp.exe\u2028", "\\u202egnp.exe\\u2028"),
        ("\udcff\x00", "\\udcff\\x00"),
    ],
)
def test_a_message_is_one_line_that_no_terminal_obeys(message: str, expected: str) -> None:
    assert logged(message) == expected


@pytest.mark.parametrize("message", ["ab " * 10_000, "\x00" * 3000, "a " * 2_000_000], ids=["words", "nul", "4 MB"])
def test_a_message_has_an_end(message: str) -> None:
    began = time.thread_time()
    line = logged(message, error=raised(ValueError()))
    assert time.thread_time() - began < 1
    assert len(line) <= 2000
    assert f"[{len(message)} characters]" in line
    assert "ValueError at " in line


@pytest.mark.parametrize("piece", ["bearer ", "cookie:", "token=", "eyJ", "eyJhbGciOi", "basic" + " " * 500, "key='"])
def test_a_message_made_to_be_slow_is_not(piece: str) -> None:
    began = time.thread_time()
    logged(piece * (2**20 // len(piece)))
    assert time.thread_time() - began < 1


def test_of_an_error_type_and_place_are_told_but_not_its_text() -> None:
    error = raised(ValueError("illegal header line: b'Auth s3cret'"), raised(KeyError("s3cret")))
    line = logged("it failed", error=error)
    assert "s3cret" not in line
    assert line.startswith("it failed | ValueError at tests/recording/test_logging_filter.py:")
    assert " in raised; from KeyError at " in line


@pytest.mark.parametrize("message", ["%s", "%r"])
def test_an_error_that_is_put_into_a_message_does_not_quote_either(message: str) -> None:
    assert logged(message, ValueError("s3cret")).strip("'") == "ValueError"
    assert logged(ValueError("s3cret")) == "ValueError"


def test_our_own_errors_and_the_operating_systems_keep_their_words() -> None:
    assert logged("%s", RecordingError("The journal is full.")) == "The journal is full."
    line = logged("no", error=raised(OSError(28, "No space left on device", "/x/s3cret")))
    assert "OSError (No space left on device) at" in line
    assert "s3cret" not in line


def test_an_endless_recursion_is_told_in_a_line() -> None:
    def again() -> None:
        again()

    try:
        again()
    except RecursionError as error:
        line = logged("deep", error=error)
    assert "RecursionError at" in line
    assert len(line) < 1000


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("s3cret")


@pytest.mark.parametrize(("message", "args"), [("%d", ("s3cret",)), ("%s", (Unprintable(),)), ("%s %s", ("s3cret",))])
def test_a_message_that_cannot_be_made_is_replaced(message: str, args: tuple[object, ...]) -> None:
    line = logged(message, *args)
    assert "s3cret" not in line
    assert line.startswith("a message that cannot be shown (")


def test_two_handlers_write_the_same() -> None:
    filter_ = LogFilter(Redactor())
    record = logging.LogRecord("x", 40, __file__, 1, "a % b\n%s", ("x " * 5000,), None)
    filter_.filter(record)
    once = record.getMessage()
    filter_.filter(record)
    assert record.getMessage() == once
