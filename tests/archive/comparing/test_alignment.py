import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoop_mitm.archive.comparing import align
from hoop_mitm.archive.entries import JobEntry
from hoop_mitm.bigquery.fingerprints import fingerprint
from hoop_mitm.policy.verdict import Verdict
from tests.archive.building import NOON

_EMPTY = dict.fromkeys([name for name in JobEntry.__dataclass_fields__ if name not in ("flows", "program", "resolved")])
_JOB = JobEntry(
    **_EMPTY
    | {
        "job_type": "QUERY",
        "dry_run": False,
        "referenced_tables": (),
        "labels": {},
        "verdict": Verdict("allow", "r"),
        "started_at": NOON,
    }
)


def jobs(*statements):
    return [
        replace(_JOB, number=number, key=str(number), statement=text, fingerprint=fingerprint(text))
        for number, text in enumerate(statements, 1)
    ]


def told(before, after):
    """``1=1`` for a pair, ``1>3`` for one that moved, ``-2`` and ``+2``."""
    return " ".join(
        f"{old.number}{'>' if moved else '='}{new.number}"
        if old and new
        else f"-{old.number}"
        if old
        else f"+{new.number}"
        for old, new, moved in align(jobs(*before), jobs(*after))
    )


JOINED = "SELECT a.x, b.y FROM shop.orders AS a JOIN shop.lines AS b USING (id) WHERE a.day = '2026-01-01'"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["SELECT 1"], ["SELECT 2"], "1=1"),
        ([JOINED], [JOINED.replace("b.y", "b.z")], "1=1"),
        ([JOINED], [JOINED.replace("a.x, ", "a.x, a.w, ").replace("USING (id)", "ON a.id = b.order_id")], "1=1"),
        ([JOINED], ["SELECT COUNT(*) FROM web.hits"], "-1 +1"),
        # Of two edits that cross, the one that kept more of its text.
        ([JOINED, "SELECT p FROM t WHERE q"], ["SELECT p, r FROM t WHERE q", JOINED + " AND b.n = 1"], "+1 1=2 -2"),
        (["SELECT 1", JOINED], ["SELECT 1", "SELECT 3 FROM x", JOINED.replace("01-01", "02-02")], "1=1 +2 2=3"),
        # Moved before edited: the equal one elsewhere is the same job.
        (["SELECT a FROM t", JOINED], [JOINED, "SELECT a FROM t"], "2>1 1=2"),
        (["SELECT p FROM u", "SELECT q FROM v"], ["SELECT q FROM v", "SELECT p FROM u"], "2>1 1=2"),
        # Moved, with another literal.
        (
            [JOINED, "SELECT p FROM u", "SELECT q FROM v"],
            ["SELECT p FROM u", "SELECT q FROM v", JOINED + " LIMIT 5"],
            None,
        ),
        ([], ["SELECT 1"], "+1"),
        (["SELECT 1"], [], "-1"),
    ],
)
def test_jobs_are_aligned(before, after, expected):
    if expected is None:
        assert told(before, after) == "-1 2=1 3=2 +3"
    elif ">" in expected:
        assert sorted(told(before, after)) in (sorted(expected), sorted("1>2 2=1"))
    else:
        assert told(before, after) == expected


def test_one_that_moved_and_was_edited_is_one_job():
    day = "SELECT x FROM t WHERE day = '{}'"
    assert told([day.format(1), JOINED, "SELECT 5"], [JOINED, "SELECT 5", day.format(2)]) == "2=1 3=2 1>3"


letters = st.lists(st.sampled_from("abcd"), max_size=9)


def longest_common(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for (i, a), (j, b) in itertools.product(enumerate(one), enumerate(other)):
        table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@settings(max_examples=150, deadline=None)
@given(letters, letters)
def test_every_job_is_told_once_and_as_many_stay_as_can(before, after):
    names = {letter: f"SELECT {letter} FROM {letter}" for letter in "abcd"}
    old, new = (jobs(*[names[letter] for letter in side]) for side in (before, after))
    pairs = align(old, new)
    assert sorted(job.number for job, _, _ in pairs if job) == list(range(1, len(old) + 1))
    assert [job.number for _, job, _ in pairs if job] == list(range(1, len(new) + 1))
    kept = [(one.number, other.number) for one, other, moved in pairs if one and other and not moved]
    assert kept == sorted(kept)
    assert len(kept) == longest_common(before, after)
    # Nothing is both gone and new.
    gone = [one.statement for one, other, _ in pairs if other is None]
    came = [other.statement for one, other, _ in pairs if one is None]
    assert not set(gone) & set(came)


def test_ten_thousand_jobs_with_many_changes_are_aligned_quickly():
    before = [f"SELECT {n} FROM t{n % 50}" for n in range(10_000)]
    after = [f"SELECT {n if n % 3 else n + 1} FROM t{n % 50}" for n in range(10_000)]
    pairs = align(jobs(*before), jobs(*after))
    assert sum(one is not None and other is not None for one, other, _ in pairs) > 9_000
