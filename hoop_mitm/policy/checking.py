"""What is odd about rules that are valid.

Only what is certain is said. Not looked for: conditions that contradict themselves or each other (nobody evaluates them
here), and rules that several others leave nothing to together.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from hoop_mitm.config.policy import Rule, RuleSet
from hoop_mitm.policy.asked import OWN_DOORS
from hoop_mitm.policy.patterns import Patterns, completed
from hoop_mitm.policy.rule import size

NOT_LOOKED_FOR: Final = (
    "Not looked for: conditions (`when`) that are never true, and rules that several others together leave nothing to."
)

_READS: Final = ("read", "metadata")
_JOB_DOORS: Final = ("jobs.insert", "jobs.query", "mcp.execute_sql", "mcp.execute_sql_readonly")


def warnings(rules: RuleSet) -> tuple[str, ...]:
    """Sentences for people, in the order of the file."""
    return tuple(_warnings(rules))


def _warnings(rules: RuleSet) -> Iterator[str]:
    for place, rule in enumerate(rules.rules):
        yield from (f"{rule.name} can never match: {why}." for why in _impossible(rule))
        for earlier in rules.rules[:place]:
            if (earlier.mode or rules.mode) == "enforce" and _leaves_nothing(earlier, rule):
                yield f"{rule.name} never decides: {earlier.name} stands above it and matches whenever it would."
                break
    if not any(rule.verdict == "allow" for rule in rules.rules) and rules.mode == "enforce":
        yield "No rule allows anything: everything but one's own jobs is denied."


def _impossible(rule: Rule) -> Iterator[str]:
    grants = rule.verdict == "allow"
    if rule.doors and all(door in OWN_DOORS for door in rule.doors):
        yield "what goes through these doors follows up what was decided before, and is not asked about again"
    if rule.kinds and rule.doors and not any(Patterns(rule.doors).meets(door) for door in _JOB_DOORS):
        yield "`kinds` are of jobs, and none of these doors starts one"
    if grants and rule.kinds and _verbs(rule) and not set(_verbs(rule)) & {"read", "write", "admin"}:
        yield "`kinds` are of jobs, which never are metadata"
    if grants and rule.max_bytes is not None and rule.over_bytes is not None and rule.over_bytes >= rule.max_bytes:
        yield f"nothing reads up to {size(rule.max_bytes)} and over {size(rule.over_bytes)}"


def _leaves_nothing(earlier: Rule, later: Rule) -> bool:
    """Whether ``earlier`` matches everything that ``later`` does: each thing that it asks for, the later one asks for too."""
    return (
        _people(earlier, later)
        and _within(later.connections, earlier.connections)
        and _names(earlier.doors, later.doors)
        and _opaque(earlier, later)
        and _within(_verbs(later), _verbs(earlier))
        and _covering(earlier, later)
        and _sizes(earlier, later)
        and earlier.when in (None, later.when)
    )


def _people(earlier: Rule, later: Rule) -> bool:
    if not (earlier.groups or earlier.principals):
        return True
    if not (later.groups or later.principals):
        return False
    return set(later.groups) <= set(earlier.groups) and _names_all(earlier.principals, later.principals)


def _opaque(earlier: Rule, later: Rule) -> bool:
    if earlier.verdict != "allow":
        return True
    if later.verdict == "allow":
        return earlier.opaque or not later.opaque
    # A denial meets what cannot be understood, whatever else it says: only a grant that says nothing else does too.
    return earlier.opaque and not (_verbs(earlier) or earlier.kinds or earlier.tables)


def _covering(earlier: Rule, later: Rule) -> bool:
    """Kinds and tables: all of them for a grant, any of them for a denial, so only rules of one sort can be compared."""
    if not (earlier.kinds or earlier.tables):
        return True
    if (earlier.verdict == "allow") != (later.verdict == "allow"):
        return False
    behind = earlier.verdict == "allow" or earlier.behind_views or not later.behind_views or not earlier.tables
    return behind and _names(earlier.kinds, later.kinds) and _names(earlier.tables, later.tables, parts=3)


def _sizes(earlier: Rule, later: Rule) -> bool:
    if earlier.max_bytes is None and earlier.over_bytes is None:
        return True
    if (earlier.verdict == "allow") != (later.verdict == "allow"):
        return False
    below = earlier.max_bytes is None or (later.max_bytes is not None and later.max_bytes <= earlier.max_bytes)
    above = earlier.over_bytes is None or (later.over_bytes is not None and later.over_bytes >= earlier.over_bytes)
    return below and above


def _verbs(rule: Rule) -> Sequence[str]:
    return _READS if rule.read_only else rule.verbs


def _within(later: Sequence[str], earlier: Sequence[str]) -> bool:
    return not earlier or (bool(later) and set(later) <= set(earlier))


def _names(earlier: Sequence[str], later: Sequence[str], parts: int = 1) -> bool:
    return not earlier or (bool(later) and _names_all(earlier, later, parts))


def _names_all(earlier: Sequence[str], later: Sequence[str], parts: int = 1) -> bool:
    patterns = Patterns(earlier, parts=parts)
    return all(name in earlier or patterns.covers(completed(name, parts)) for name in later)
