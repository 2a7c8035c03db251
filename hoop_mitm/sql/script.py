"""The statements of a script, with the expressions of its control flow: GoogleSQL's procedural language.

A statement is told by its first word and ends at a semicolon, so where statements begin is all that has to be known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from hoop_mitm.bigquery.tokens import Token
from hoop_mitm.sql.opaque import Opaque
from hoop_mitm.sql.words import upper

type Role = Literal["statement", "expression", "known"]

_DEEPEST: Final = 40
"""Blocks within blocks."""

_END: Final = frozenset({"END"})
_TRANSACTIONS: Final = {
    "BEGIN": "BEGIN_TRANSACTION",
    "COMMIT": "COMMIT_TRANSACTION",
    "ROLLBACK": "ROLLBACK_TRANSACTION",
}
# System variables that change nothing but how values are shown or named.
_HARMLESS_VARIABLES: Final = frozenset({"TIME_ZONE", "QUERY_LABEL"})
_TYPE_MARKS: Final = frozenset("<>(),.")
# Behind these words a statement could begin where there is control flow; else only behind semicolons.
_OPENERS: Final = frozenset({"BEGIN", "THEN", "ELSE", "DO", "LOOP", "REPEAT"})
_EFFECTS: Final = frozenset({
    "ALTER", "CALL", "CREATE", "DELETE", "DROP", "EXECUTE", "EXPORT", "GRANT", "INSERT", "LOAD", "MERGE", "RENAME",
    "REVOKE", "TRUNCATE", "UNDROP", "UPDATE",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a script: the words from ``start`` to before ``end``.

    ``role`` is ``statement`` (SQL), ``expression`` (of control flow) or ``known``: a statement of which its first words say
    all, and BigQuery calls it ``kind``.
    """

    role: Role
    start: int
    end: int
    kind: str = ""


@dataclass(slots=True)
class Script:
    """What a text consists of, in order; ``has_flow``: it has control flow."""

    parts: list[Part] = field(default_factory=list)
    has_flow: bool = False


def script_of(words: Sequence[Token]) -> Script:
    """The parts of a text.

    Raises:
        Opaque: its blocks do not fit together, or it runs what cannot be seen.
    """
    reader = _Reader(words)
    reader.statements(frozenset())
    _check_starts(words, reader.script)
    return reader.script


def _check_starts(words: Sequence[Token], script: Script) -> None:
    """Wherever a statement with an effect could begin, one was found to begin, whatever way the blocks were read."""
    known = set[int]()
    for part in script.parts:
        if part.role == "statement":
            # What MERGE does begins with such words.
            known.update(range(part.start, part.end) if upper(words, part.start) == "MERGE" else (part.start,))
    for place in range(1, len(words)):
        before = upper(words, place - 1)
        begins = before == ";" or (script.has_flow and before in _OPENERS)
        if begins and upper(words, place) in _EFFECTS and place not in known:
            raise Opaque(f"it is not certain whether {words[place].text} begins a statement in it.")


class _Reader:
    def __init__(self, words: Sequence[Token]) -> None:
        self.script = Script()
        self._words = words
        self._place = 0
        self._depth = 0
        self._by_word: dict[str, Callable[[], None]] = {
            "DECLARE": self._declare, "SET": self._set, "IF": self._if, "CASE": self._case, "LOOP": self._loop,
            "WHILE": self._while, "REPEAT": self._repeat, "FOR": self._for, "BEGIN": self._begin, "RAISE": self._raise,
            "BREAK": self._jump, "LEAVE": self._jump, "CONTINUE": self._jump, "ITERATE": self._jump,
            "RETURN": self._jump, "COMMIT": self._transaction, "ROLLBACK": self._transaction, "ASSERT": self._assert,
        }  # fmt: skip

    def statements(self, ends: frozenset[str]) -> None:
        """Reads on until one of ``ends`` begins a statement, which is left unread; without ``ends``, to the end."""
        while self._place < len(self._words):
            if self._next() in ends:
                return
            if not self._took(";"):
                self._statement()
        if ends:
            raise Opaque("a block in it does not end.")

    def _next(self, ahead: int = 0) -> str:
        return upper(self._words, self._place + ahead)

    def _took(self, *expected: str) -> bool:
        if all(self._next(ahead) == word for ahead, word in enumerate(expected)):
            self._place += len(expected)
            return True
        return False

    def _expect(self, *expected: str) -> None:
        if not self._took(*expected):
            raise Opaque(f"{' '.join(expected)} is missing in it.")

    def _end_of_statement(self) -> None:
        if self._place < len(self._words):
            self._expect(";")

    def _statement(self) -> None:
        first = self._next()
        if first == "CALL":
            raise Opaque("it calls a procedure, and what that does is not in the text.")
        if first == "EXECUTE":
            raise Opaque("it runs SQL that is put together at run time.")
        if first == "CREATE" and "PROCEDURE" in (self._next(1), self._next(3)):
            raise Opaque("it makes a procedure, which may do anything when it is called.")
        if first not in ("BEGIN", "LOOP", "WHILE", "REPEAT", "FOR") and self._next(1) == ":":
            # A label of a block.
            self._place += 2
            if self._next() not in ("BEGIN", "LOOP", "WHILE", "REPEAT", "FOR"):
                raise Opaque("a label in it stands before no block.")
            first = self._next()
        if read := self._by_word.get(first):
            read()
        else:
            self._part("statement", self._to_semicolon())
        self._end_of_statement()

    def _part(self, role: Role, end: int) -> None:
        if end <= self._place:
            raise Opaque("an expression in it is missing.")
        self.script.parts.append(Part(role, self._place, end))
        self._place = end

    def _to_semicolon(self) -> int:
        end = self._place
        while end < len(self._words) and upper(self._words, end) != ";":
            end += 1
        return end

    def _expression(self, *stops: str, required: bool = True) -> None:
        """Reads up to one of ``stops`` that belongs to no ``CASE`` and stands in no parentheses."""
        end, depth, cases = self._place, 0, 0
        while end < len(self._words):
            word = upper(self._words, end)
            if word == ";":
                break
            if not depth and not cases and word in stops:
                self._part("expression", end)
                return
            depth += (word in ("(", "[")) - (word in (")", "]"))
            cases += (word == "CASE") - (word == "END")
            end += 1
        if stops and required:
            raise Opaque(f"{stops[0]} is missing in it.")
        self._part("expression", end)

    def _block(self, *ends: str) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Opaque(f"it has more than {_DEEPEST} blocks in each other.")
        self.statements(frozenset(ends))
        self._depth -= 1

    def _flow(self, *words: str) -> None:
        self.script.has_flow = True
        self._expect(*words)

    def _declare(self) -> None:
        self._flow("DECLARE")
        while self._name() and self._took(","):
            pass
        while self._next() not in ("", ";", "DEFAULT") or self._kind() == "number":
            # A type: nothing in it is computed.
            if self._kind() == "mark" and self._next() not in _TYPE_MARKS:
                raise Opaque("a variable in it has a type that hoop-mitm does not know.")
            self._place += 1
        if self._took("DEFAULT"):
            self._expression()

    def _kind(self) -> str:
        return self._words[self._place].kind if self._place < len(self._words) else ""

    def _name(self) -> bool:
        if self._kind() not in ("word", "quoted"):
            raise Opaque("the name of a variable is missing in it.")
        self._place += 1
        return True

    def _set(self) -> None:
        self._flow("SET")
        if self._took("@@"):
            if self._next() not in _HARMLESS_VARIABLES:
                raise Opaque(f"it sets @@{self._next().lower()}, which changes what other statements mean.")
            self._place += 1
        elif self._took("("):
            while self._name() and self._took(","):
                pass
            self._expect(")")
        else:
            self._name()
        self._expect("=")
        self._expression()

    def _if(self) -> None:
        self._flow("IF")
        self._expression("THEN")
        self._expect("THEN")
        self._block("ELSEIF", "ELSE", "END")
        while self._took("ELSEIF"):
            self._expression("THEN")
            self._expect("THEN")
            self._block("ELSEIF", "ELSE", "END")
        if self._took("ELSE"):
            self._block("END")
        self._expect("END", "IF")

    def _case(self) -> None:
        self._flow("CASE")
        if self._next() != "WHEN":
            self._expression("WHEN")
        while self._took("WHEN"):
            self._expression("THEN")
            self._expect("THEN")
            self._block("WHEN", "ELSE", "END")
        if self._took("ELSE"):
            self._block("END")
        self._expect("END", "CASE")

    def _loop(self) -> None:
        self._flow("LOOP")
        self._block("END")
        self._ended("LOOP")

    def _while(self) -> None:
        self._flow("WHILE")
        self._expression("DO")
        self._expect("DO")
        self._block("END")
        self._ended("WHILE")

    def _repeat(self) -> None:
        self._flow("REPEAT")
        self._block("UNTIL")
        self._expect("UNTIL")
        self._expression("END")
        self._ended("REPEAT")

    def _for(self) -> None:
        self._flow("FOR")
        self._name()
        self._expect("IN")
        self._expression("DO")
        self._expect("DO")
        self._block("END")
        self._ended("FOR")

    def _begin(self) -> None:
        if self._next(1) in ("TRANSACTION", ";") or self._place + 1 == len(self._words):
            self._transaction()
            return
        self._flow("BEGIN")
        self._block("EXCEPTION", "END")
        if self._took("EXCEPTION"):
            self._expect("WHEN", "ERROR", "THEN")
            self._block("END")
        self._ended()

    def _ended(self, *words: str) -> None:
        self._expect("END", *words)
        if self._kind() in ("word", "quoted"):
            # The block's label, once more.
            self._place += 1

    def _transaction(self) -> None:
        self._known(_TRANSACTIONS[self._next()])
        self._place += 1
        self._took("TRANSACTION")

    def _known(self, kind: str) -> None:
        self.script.parts.append(Part("known", self._place, self._place + 1, kind))

    def _raise(self) -> None:
        self._flow("RAISE")
        if self._took("USING", "MESSAGE", "="):
            self._expression()

    def _jump(self) -> None:
        self._flow(self._next())
        if self._kind() in ("word", "quoted"):
            self._place += 1

    def _assert(self) -> None:
        self._known("ASSERT")
        self._expect("ASSERT")
        self._expression("AS", required=False)
        if self._took("AS"):
            self._expression()
