"""One rule, ready to be asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from hoop_mitm.config.conditions import Condition, ConditionError
from hoop_mitm.config.policy import Rule as Words
from hoop_mitm.identity.principal import Principal
from hoop_mitm.policy.asked import Asked
from hoop_mitm.policy.patterns import Patterns
from hoop_mitm.policy.ruling import ReviewTerms

type State = Literal["matches", "differs", "not_meant", "unclear", "needs_estimate"]

_READ_ONLY: Final = ("read", "metadata")
_VERBS: Final = {"read": "reads", "write": "changes rows", "admin": "makes, changes, drops, exports or grants",
                 "metadata": "only looks at metadata"}  # fmt: skip
_SIZES: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_PREFIX: Final = "policy."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule says about one question.

    Attributes:
        rule: its name.
        state: ``matches``; ``differs`` (something that it says does not hold); ``not_meant`` (it is for other people,
            connections or doors); ``unclear`` (its condition could not be evaluated: a denial); ``needs_estimate``.
        why: in words for people, what did not hold or could not be evaluated; ``""`` when it matches.
    """

    rule: str
    state: State
    why: str = ""


class Rule:
    """A rule of the file.

    What it says is looked at in this order, until something does not hold: for whom, which connection, which door; what is
    done; tables; the condition; bytes. So BigQuery is asked for an estimate only where all else holds.
    """

    def __init__(self, words: Words, *, mode: Literal["enforce", "observe"]) -> None:
        """``mode`` holds where the rule says nothing."""
        self.words = words
        self.name = words.name
        self.full_name = f"{_PREFIX}{words.name}"
        self.verdict = words.verdict
        self.observes = (words.mode or mode) == "observe"
        self.terms = (
            ReviewTerms(words.review.groups, words.review.min_approvals, words.review.expires) if words.review else None
        )
        self._grants = words.verdict == "allow"
        self._groups = frozenset(words.groups)
        principals = [name.casefold() for name in words.principals]
        # Some issuers let people choose part of their subject (a branch's name): it must not pass for another's address.
        self._keys = Patterns(name for name in principals if "#" in name)
        self._emails = Patterns(name for name in principals if "@" in name and "#" not in name)
        self._subjects = Patterns(name for name in principals if "@" not in name and "#" not in name)
        self._anyhow = Patterns(principals)
        self._doors = Patterns(words.doors)
        self._verbs = _READ_ONLY if words.read_only else words.verbs
        self._kinds = Patterns(words.kinds)
        self._tables = Patterns(words.tables, parts=3)
        self._condition = Condition(words.when) if words.when else None

    def outcome(self, asked: Asked) -> Outcome:
        """What it says."""
        if why := self._not_meant(asked):
            return Outcome(self.name, "not_meant", why)
        if why := self._differs(asked):
            return Outcome(self.name, "differs", why)
        condition = self._condition
        if condition and not condition.needs_estimate and (unlike := self._condition_says(condition, asked)):
            return unlike
        if self._needs_estimate(asked):
            return Outcome(self.name, "needs_estimate", "it depends on what BigQuery's dry run says")
        if why := self._too_little_or_much(asked) or self._not_behind(asked):
            return Outcome(self.name, "differs", why)
        if condition and condition.needs_estimate and (unlike := self._condition_says(condition, asked)):
            return unlike
        return Outcome(self.name, "matches")

    def is_for(self, asked: Asked) -> bool:
        """Whether it is for this principal and connection at all."""
        return not self._not_for(asked.question.principal, asked.question.connection)

    @property
    def ends_the_list(self) -> bool:
        """Whether nothing that stands below it can be reached by those whom it is for."""
        return not self.observes and not self._grants and not self.words.when and not next(self._parts(), "")

    @property
    def uses_estimate(self) -> bool:
        """Whether it may ask what BigQuery's dry run says."""
        words = self.words
        behind = bool(words.tables) and words.behind_views and not self._grants
        condition = self._condition is not None and self._condition.needs_estimate
        return behind or condition or words.max_bytes is not None or words.over_bytes is not None

    @property
    def variables(self) -> frozenset[str]:
        """What its condition names."""
        return self._condition.names if self._condition else frozenset()

    @property
    def covers(self) -> str:
        """What it covers, in words that continue ``it covers …``."""
        return ", ".join(self._parts()) or "everything"

    def _parts(self) -> Iterator[str]:
        words = self.words
        if self._verbs:
            yield (
                "what only reads"
                if self._verbs == _READ_ONLY
                else f"what {' or '.join(_VERBS[v] for v in self._verbs)}"
            )
        if words.kinds:
            yield " or ".join(words.kinds)
        if words.doors:
            yield f"by {self._doors}"
        if words.tables:
            yield f"{'tables' if self._grants else 'anything of'} {self._tables}"
        if words.max_bytes is not None:
            yield f"up to {size(words.max_bytes)}"
        if words.over_bytes is not None:
            yield f"over {size(words.over_bytes)}"
        if words.when:
            yield "under its condition"

    # -- for whom, and where ------------------------------------------------------------------------------------------

    def _not_meant(self, asked: Asked) -> str:
        if why := self._not_for(asked.question.principal, asked.question.connection):
            return why
        if self._doors and not self._doors.covers(asked.operation.door.name):
            return f"it is about {self._doors}, not {asked.operation.door.name}"
        return ""

    def _not_for(self, principal: Principal, connection: str) -> str:
        words = self.words
        if (words.groups or words.principals) and not (
            self._groups.intersection(principal.groups) or self._names(principal)
        ):
            return f"it is for {', '.join((*words.groups, *words.principals))}"
        if words.connections and connection not in words.connections:
            return f"it is about the connection {', '.join(words.connections)}"
        return ""

    def _names(self, principal: Principal) -> bool:
        email, subject, key = (name.casefold() for name in (principal.email or "", principal.subject, principal.key))
        if not self._grants:
            return any(self._anyhow.covers(name) for name in (email, subject, key) if name)
        return self._keys.covers(key) or self._emails.covers(email) or self._subjects.covers(subject)

    # -- what is done -------------------------------------------------------------------------------------------------

    def _differs(self, asked: Asked) -> str:
        if asked.opaque:
            # What cannot be understood may be anything: no grant meets it by accident, and no denial misses it.
            if self._grants and not self.words.opaque:
                return f"it covers only what can be understood: {asked.opaque}"
            if not self._grants:
                return ""
        if self._verbs and asked.verb not in self._verbs:
            return f"it covers {next(self._parts())}, and this {_VERBS[asked.verb]}"
        return self._other_kinds(asked) or self._other_tables(asked)

    def _other_kinds(self, asked: Asked) -> str:
        if not self._kinds:
            return ""
        outside = [kind for kind in asked.kinds if not self._kinds.covers(kind)]
        if self._grants:
            if outside or not asked.kinds:
                return f"it covers {self._kinds}, and this is {', '.join(outside) or asked.operation.door.name}"
        elif len(outside) == len(asked.kinds):
            return f"it is about {self._kinds}, and this is {', '.join(outside) or asked.operation.door.name}"
        return ""

    def _other_tables(self, asked: Asked) -> str:
        if not self._tables:
            return ""
        if not self._grants:
            # What is not named may still lie behind a view: that is looked at when BigQuery has been asked.
            if self._looks_behind(asked) or any(self._tables.meets(name) for name in asked.things):
                return ""
            return f"it is about {self._tables}, and this touches {_listed(asked.things)}"
        if outside := [name for name in asked.things if not self._tables.covers(name)]:
            return f"it covers tables {self._tables}, and this touches {_listed(outside)}"
        if not asked.things and asked.verb not in _READ_ONLY:
            return f"it covers tables {self._tables}, and hoop-mitm cannot tell which this touches"
        return ""

    # -- what takes an estimate ---------------------------------------------------------------------------------------

    def _looks_behind(self, asked: Asked) -> bool:
        return self.words.behind_views and (asked.can_be_estimated or asked.behind is not None)

    def _needs_estimate(self, asked: Asked) -> bool:
        if not asked.can_be_estimated:
            return False
        words = self.words
        if words.max_bytes is not None or words.over_bytes is not None:
            return True
        if self._condition is not None and self._condition.needs_estimate:
            return True
        if not self._tables or self._grants or not words.behind_views or asked.opaque:
            return False
        return not any(self._tables.meets(name) for name in asked.things)

    def _not_behind(self, asked: Asked) -> str:
        if not self._tables or self._grants or asked.opaque:
            return ""
        names = (*asked.things, *(asked.behind or ()))
        if any(self._tables.meets(name) for name in names):
            return ""
        return f"it is about {self._tables}, and this touches {_listed(names)}"

    def _too_little_or_much(self, asked: Asked) -> str:
        words = self.words
        if words.max_bytes is None and words.over_bytes is None:
            return ""
        least, most = asked.bytes
        told = "nobody can say how much this would read" if most is None else f"this would read {size(most)}"
        # Where it is not known how much, a grant is not given and a denial not passed by.
        if words.max_bytes is not None:
            within = most is not None and most <= words.max_bytes if self._grants else least <= words.max_bytes
            if not within:
                return f"it covers up to {size(words.max_bytes)}, and {told}"
        if words.over_bytes is not None:
            over = least > words.over_bytes if self._grants else most is None or most > words.over_bytes
            if not over:
                return f"it is about more than {size(words.over_bytes)}, and {told}"
        return ""

    def _condition_says(self, condition: Condition, asked: Asked) -> Outcome | None:
        try:
            holds = condition.holds(asked.values)
        except ConditionError as error:
            return Outcome(self.name, "unclear", f"its condition cannot be evaluated: {error}")
        if asked.opaque and condition.needs_facts and not self._grants:
            # What it names is not known in full, so a no is not to be had from it.
            return None
        return None if holds else Outcome(self.name, "differs", f"its condition does not hold: {condition.text}")


def size(value: int) -> str:
    """Bytes as people write them: ``10 GB``, ``1.5 TB``."""
    number, unit = float(value), 0
    while number >= 1000 and unit < len(_SIZES) - 1:  # noqa: PLR2004 - a step of the units
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {_SIZES[unit]}" if unit else f"{value} bytes"


_SHOWN: Final = 3


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "no table") + more
