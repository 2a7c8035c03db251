"""What a signed event says was taken can be read in one way only."""

import hashlib

from hoop_mitm.evidence import observations_digest, removals_digest

ROWS = [("request_body", "c1", 3, 9), ("statement", "c1", 3, 4)]


def test_the_digest_is_what_another_program_can_compute():
    lines = b'["request_body","c1",3,9]\n["statement","c1",3,4]\n'
    assert removals_digest(iter(ROWS)) == hashlib.sha256(b"hoop-mitm removals 1\0" + lines).hexdigest()


def test_every_number_and_the_order_count():
    others = [
        ROWS[::-1],
        ROWS[:1],
        [],
        [("request_body", "c1", 3, 8), ROWS[1]],
        [("request_body", "c2", 3, 9), ROWS[1]],
    ]
    digests = {removals_digest(rows) for rows in (ROWS, *others)}
    assert len(digests) == 1 + len(others)


def test_removals_and_observations_are_never_taken_for_each_other():
    assert removals_digest([]) != observations_digest([])
    assert observations_digest([("c", 1, "{}")]) != observations_digest([("c", 1, "{} ")])
