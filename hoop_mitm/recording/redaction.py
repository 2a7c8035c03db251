"""What must never be written: secrets, found by the name they travel under and by their value.

Values are found in every spelling that a client or BigQuery may give them: as they are, percent-encoded, escaped
for JSON, and in base64 at any alignment. A value is overwritten at its own length, so that framed and
length-prefixed bodies (gRPC) stay readable.
"""

import base64
import hashlib
import json
import re
import secrets
import string
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

from ahocorasick_rs import BytesAhoCorasick

REDACTED = "[redacted]"

SECRET_HEADERS = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-amz-security-token",
        "x-goog-api-key",
        "x-goog-authenticated-user-jwt",
        "x-goog-iam-authority-selector",
        "x-goog-iam-authorization-token",
        "x-goog-iap-jwt-assertion",
        "x-serverless-authorization",
    }
)

SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "assertion",
        "client_secret",
        "code",
        "id_token",
        "key",
        "oauth_token",
        "refresh_token",
        "signature",
        "subject_token",
        "token",
        "x-goog-credential",
        "x-goog-signature",
    }
)

#: Parameters and headers that carry authority, but whose flows must still be joined: a handle stands in for them.
HANDLED_PARAMETERS = frozenset({"upload_id"})
HANDLED_HEADERS = frozenset({"x-guploader-uploadid"})
_SPECIAL = SECRET_HEADERS | HANDLED_HEADERS

#: A shorter value would be found everywhere, and protects nothing.
SHORTEST_SECRET = 8
#: A longer value is protected piece by piece.
LONGEST_SECRET = 2**16
_LONG_PART = 40
#: A PEM file of the longest key in use has fewer lines.
_MOST_PARTS = 64
_MOST_BYTES = 2 * 2**20
_ANCHOR = 16
_VARIED = 8
_SLICE = 2**16
_FRESH = 24
_USER_INFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
# Each begins with a literal, which is found at memory speed, and never goes over the same bytes twice: a body that is made
# to be slow (a megabyte of "eyJ") must not hold up the writer. A JWT begins where a word does, or after an escape.
_SHAPES = (
    re.compile(
        rb"eyJ(?:(?<![\w-]eyJ)|(?<=\\[nrtbf]eyJ)|(?<=\\u[0-9a-fA-F]{4}eyJ)|(?<=%[0-9a-fA-F]{2}eyJ))"
        rb"[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+"
    ),
    re.compile(rb"ya29\.[\w.-]{16,}+"),
    # Only what can stand in a key, so that a mention of one does not take the rest of the body with it.
    re.compile(
        rb"-----BEGIN[A-Z ]{0,40}PRIVATE KEY-----(?:[\w+/=\s]|\\+[nr]|%[0-9a-fA-F]{2})*+(?:-----END[A-Z ]{0,40}PRIVATE KEY-----)?"
    ),
)

_LONGEST_SHAPE = 4096


class Redactor:
    """Knows the secrets of the hour and takes them out of whatever is to be written. Safe to use from any thread.

    Args:
        capacity: how many values are remembered; the ones not seen for longest are forgotten first. Tokens are
            short-lived, so what falls out has expired. They are also forgotten when they are more than 2 MiB.
    """

    def __init__(self, *, capacity: int = 2048) -> None:
        self._capacity = capacity
        self._handle_key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._passing: OrderedDict[bytes, None] = OrderedDict()
        self._passing_bytes = 0
        self._kept: dict[bytes, None] = {}
        # Building the matcher of everything takes tens of milliseconds: new values wait in a small one of their own.
        self._fresh: list[bytes] = []
        self._settled_matcher = _Matcher(())
        self._fresh_matcher: _Matcher | None = None

    def use_handle_key(self, key: bytes) -> None:
        """Make the handles that this key gives from now on: the journal's, so that they outlive a restart."""
        self._handle_key = hashlib.blake2b(key, person=b"handles").digest()

    def protect(self, value: str | bytes, *, keep: bool = False) -> None:
        """Register a secret; call it before the first record that may hold it. Cheap, and repeatable.

        Of a value with several lines or dotted parts (PEM, JWT) the long parts are protected as well, except a JWT's
        header, which is no secret. Values shorter than 8 bytes are ignored. ``keep`` is for secrets that live as
        long as the process (a service account's key): they are never forgotten.
        """
        whole = value.encode() if isinstance(value, str) else value
        with self._lock:
            for secret in _parts(whole):
                if secret in self._kept:
                    continue
                known = secret in self._passing
                if keep:
                    self._passing_bytes -= len(secret) if known else 0
                    self._passing.pop(secret, None)
                    self._kept[secret] = None
                else:
                    self._passing_bytes += 0 if known else len(secret)
                    self._passing[secret] = None
                    self._passing.move_to_end(secret)
                    while len(self._passing) > self._capacity or self._passing_bytes > _MOST_BYTES:
                        self._passing_bytes -= len(self._passing.popitem(last=False)[0])
                if not known:
                    self._fresh.append(secret)
                    self._fresh_matcher = None

    @property
    def longest(self) -> int:
        """Length in bytes of the longest spelling of any secret: what a reader of pieces must hold back."""
        return max(_LONGEST_SHAPE, *(matcher.longest for matcher in self._matchers()))

    def body(self, data: bytes) -> bytes:
        """``data`` with every known value overwritten at the same length, and whatever has the shape of a token or a key.

        By shape as well, because a statement may hold a token that nobody has shown us yet, and because the values
        that a dead gateway knew died with it.
        """
        spans = [span for matcher in self._matchers() for span in matcher.spans(data)]
        spans += [match.span() for shape in _SHAPES for match in shape.finditer(data)]
        return _overwrite(data, spans) if spans else data

    def text(self, text: str) -> str:
        """``text`` with every known value overwritten."""
        return self.body(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def headers(self, headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Headers without the secret ones' values, secret parameters of URLs, and every known value."""
        fields = tuple(headers)
        # Nearly always there is nothing in them, and that is seen in one look at all together.
        together = "\n".join(value for _, value in fields)
        if not ("?" in together or "://" in together) and not any(name.lower() in _SPECIAL for name, _ in fields):
            plain = together.encode("utf-8", "surrogatepass")
            if self.body(plain) is plain:
                return fields
        return tuple((name, self._header(name.lower(), value)) for name, value in fields)

    def url(self, url: str) -> str:
        """A URL without user info, without the values of secret parameters, and without every known value."""
        return self.text(self._parameters(_USER_INFO.sub(r"\1", url)))

    def _header(self, name: str, value: str) -> str:
        if name in SECRET_HEADERS:
            return REDACTED
        if name in HANDLED_HEADERS:
            return self.handle(value)
        return self.url(value) if "?" in value or "://" in value else self.text(value)

    def _parameters(self, url: str) -> str:
        head, mark, rest = url.partition("?")
        if not mark:
            return url
        query, fragment_mark, fragment = rest.partition("#")
        pairs = re.split("([&;])", query)
        return head + mark + "".join(self._parameter(pair) for pair in pairs) + fragment_mark + fragment

    def _parameter(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        plain = unquote_plus(name).strip().lower()
        if not equals or not value:
            return pair
        if plain in SECRET_PARAMETERS:
            return f"{name}={REDACTED}"
        return f"{name}={self.handle(value)}" if plain in HANDLED_PARAMETERS else pair

    def handle(self, value: str) -> str:
        """What stands in for a value that carries authority: the same for the same value, and good for nothing."""
        plain = unquote_plus(value).encode("utf-8", "surrogatepass")
        return "handle-" + hashlib.blake2b(plain, key=self._handle_key, digest_size=12).hexdigest()

    def _matchers(self) -> "tuple[_Matcher, _Matcher]":
        with self._lock:
            if self._fresh_matcher is not None or not self._fresh:
                return self._settled_matcher, self._fresh_matcher or _NOTHING
        # Outside the lock that `protect` takes, because that one is called on the event loop.
        with self._building:
            with self._lock:
                fresh = list(self._fresh)
                everything = [*self._kept, *self._passing] if len(fresh) > _FRESH else None
            built = _Matcher(fresh if everything is None else everything)
            with self._lock:
                if everything is None:
                    if self._fresh == fresh:
                        self._fresh_matcher = built
                    return self._settled_matcher, built
                self._settled_matcher = built
                del self._fresh[: len(fresh)]
                self._fresh_matcher = None
        return self._matchers()


class _Group:
    """The spellings that share an anchor, and where in each it is."""

    def __init__(self) -> None:
        self.spellings: list[tuple[bytes, int]] = []
        self.before = self.after = 0

    def add(self, spelling: bytes, offset: int) -> None:
        self.spellings.append((spelling, offset))
        self.before = max(self.before, offset)
        self.after = max(self.after, len(spelling) - offset)


class _Matcher:
    """Finds any spelling of a fixed set of secrets in one pass, in time that grows with the data alone.

    The automaton knows only an anchor of each spelling; what is around it is compared. It stays small that way. Anyone
    can have values protected, and choose them so that one anchor is found everywhere and stands for many of them: so an
    anchor is taken where a spelling is most like itself, and when there is too much to compare all the same, every
    place where one of them might be is given.
    """

    def __init__(self, values: Iterable[bytes]) -> None:
        self._by_anchor: dict[bytes, _Group] = {}
        self.longest = 0
        for value in values:
            for spelling in _spellings(value):
                offset = self._anchor(spelling)
                self._by_anchor.setdefault(spelling[offset : offset + _ANCHOR], _Group()).add(spelling, offset)
                self.longest = max(self.longest, len(spelling))
        self._groups = list(self._by_anchor.values())
        self._automaton = BytesAhoCorasick(list(self._by_anchor)) if self._by_anchor else None

    def _anchor(self, spelling: bytes) -> int:
        """Where in a spelling its anchor is: where no other has the same, and its bytes are many different ones."""
        if len(spelling) <= _ANCHOR:
            return 0
        last = len(spelling) - _ANCHOR
        best, least = 0, (2**31, 0)
        for offset in (last, last // 2, 0):
            anchor = spelling[offset : offset + _ANCHOR]
            group = self._by_anchor.get(anchor)
            variety = len(set(anchor))
            if group is None and variety >= _VARIED:
                return offset
            cost = (len(group.spellings) if group else 0, -variety)
            if cost < least:
                best, least = offset, cost
        return best

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        if self._automaton is None:
            return
        effort = 20_000 + len(data) // 2
        open_from = open_to = 0
        for start, group in self._anchors(data, self._automaton):
            if effort < 0:
                found = [(max(0, start - group.before), min(len(data), start + group.after))]
            else:
                found = []
                for spelling, offset in group.spellings:
                    effort -= 1 + len(spelling) // 4096
                    if start >= offset and data.startswith(spelling, start - offset):
                        found.append((start - offset, start - offset + len(spelling)))
            # Joined as they come: there may be one at every byte.
            for begin, end in found:
                if begin < open_to and end > open_from:
                    open_from, open_to = min(begin, open_from), max(end, open_to)
                    continue
                if open_to:
                    yield open_from, open_to
                open_from, open_to = begin, end
        if open_to:
            yield open_from, open_to

    def _anchors(self, data: bytes, automaton: BytesAhoCorasick) -> Iterator[tuple[int, _Group]]:
        for base in range(0, len(data), _SLICE):
            piece = data[base : base + _SLICE + _ANCHOR - 1]
            for number, start, _ in automaton.find_matches_as_indexes(piece, overlapping=True):
                yield base + start, self._groups[number]


_NOTHING = _Matcher(())


def _parts(value: bytes) -> Iterator[bytes]:
    if len(value) > LONGEST_SECRET:
        # The newest are remembered longest, and a secret is recognised by its beginning.
        for start in reversed(range(0, min(len(value), _MOST_BYTES), LONGEST_SECRET)):
            piece = value[start : start + LONGEST_SECRET]
            if len(piece) >= SHORTEST_SECRET:
                yield piece
        return
    if len(value) >= SHORTEST_SECRET:
        yield value
    if b"\n" in value:
        pieces = value.split(maxsplit=_MOST_PARTS)
    elif b"." in value:
        pieces = value.split(b".", maxsplit=_MOST_PARTS)
        if pieces[0].startswith(b"eyJ"):
            del pieces[0]
    else:
        return
    for piece in pieces:
        if len(piece) >= _LONG_PART and piece != value:
            yield piece


def _spellings(value: bytes) -> set[bytes]:
    spellings = {value, *_in_base64(value)}
    if value.translate(None, _PLAIN):
        spellings |= {*_in_percent(value), *_in_json(value)}
    return {spelling for spelling in spellings if len(spelling) >= SHORTEST_SECRET}


def _percent_table(safe: bytes, digits: str, space: bytes | None = None) -> list[bytes]:
    table = [bytes([byte]) if byte in _PLAIN + safe else f"%{byte:{digits}}".encode() for byte in range(256)]
    table[ord(" ")] = space or table[ord(" ")]
    return table


#: What nobody needs to escape (RFC 3986, unreserved).
_PLAIN = (string.ascii_letters + string.digits + "-._~").encode()
_PERCENT = [
    _percent_table(safe, digits, space)
    for digits in ("02X", "02x")
    for safe, space in ((b"", None), (b"", b"+"), (b"/", None))
]


def _in_percent(value: bytes) -> Iterator[bytes]:
    for table in _PERCENT:
        yield b"".join([table[byte] for byte in value])


def _in_json(value: bytes) -> Iterator[bytes]:
    text = value.decode("utf-8", "surrogateescape")
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        twice = json.dumps(once, ensure_ascii=ascii_only)[1:-1]
        # Gson and Go escape what HTML would read.
        for_html = once
        for character in "<>&='":
            for_html = for_html.replace(character, f"\\u{ord(character):04x}")
        for spelling in (once, twice, once.replace("/", "\\/"), for_html):
            yield spelling.encode("utf-8", "surrogateescape")


def _in_base64(value: bytes) -> Iterator[bytes]:
    """What of ``value`` shows in the base64 of anything that contains it, whatever stands before and after."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value).rstrip(b"=")
        # The characters that also hold bits of the neighbours.
        inner = encoded[(0, 2, 3)[before] : len(encoded) - ((before + len(value)) % 3 != 0)]
        for spelling in (inner, inner.translate(bytes.maketrans(b"+/", b"-_"))):
            yield spelling
            yield spelling.replace(b"+", b"%2B").replace(b"/", b"%2F")
            yield spelling.replace(b"+", b"%2b").replace(b"/", b"%2f")


def _overwrite(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    end_of_last = start_of_last = 0
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < end_of_last:
            end_of_last = max(end_of_last, end)
            merged[-1] = (start_of_last, end_of_last)
        else:
            start_of_last, end_of_last = start, end
            merged.append((start, end))
    for start, end in merged:
        out[start:end] = _filler(end - start)
    return bytes(out)


def _filler(length: int) -> bytes:
    opening, closing = b"[redacted", b"]"
    return opening + b"*" * (length - 10) + closing if length >= len(REDACTED) else b"*" * length
