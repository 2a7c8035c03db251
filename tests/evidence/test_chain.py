import dataclasses
from copy import copy
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from hoop_mitm.evidence import Chain, Checkpoint, RecordingKeys, first_link, link, record_digest


@pytest.fixture
def key(tmp_path):
    return RecordingKeys.load_or_create(tmp_path / "state").newest


def test_a_link_is_made_of_the_one_before_the_number_and_the_record() -> None:
    chain = Chain.begin("c")

    one = chain.next(b"{}")
    two = chain.next(b'{"a":1}')

    assert one.link == link(first_link("c"), 1, record_digest(b"{}"))
    assert two.link == link(one.link, 2, record_digest(b'{"a":1}'))
    assert (chain.seq, chain.head) == (2, two.link)


def test_chains_of_other_names_and_other_orders_have_other_links() -> None:
    heads = set()
    for name, records in [("c", [b"a", b"b"]), ("c", [b"b", b"a"]), ("d", [b"a", b"b"]), ("c", [b"ab"]), ("c", [b"a"])]:
        chain = Chain.begin(name)
        for record in records:
            chain.next(record)
        heads.add(chain.head)

    assert len(heads) == 5


def test_what_was_not_committed_is_undone_with_the_copy() -> None:
    chain = Chain.begin("c")
    chain.next(b"1")
    before = copy(chain)
    chain.next(b"lost")

    chain = before

    undone = Chain.begin("c")
    undone.next(b"1")
    assert chain.next(b"2") == undone.next(b"2")


def test_checkpoints_are_numbered_linked_and_signed(key) -> None:
    chain = Chain.begin("c")
    chain.next(b"1")
    one = chain.sign(key, "start")
    chain.next(b"2")
    two = chain.sign(key, "close")

    assert (one.number, two.number) == (1, 2)
    assert two.previous == one.digest
    assert one.is_signed_by(key.public)
    assert two.is_signed_by(key.public)
    assert chain.signed == 2


def test_a_checkpoint_comes_back_from_its_line(key) -> None:
    signed = Chain.begin("c").sign(key, "start")
    again = Checkpoint.from_json(orjson.dumps(signed.as_json()))

    assert again == signed
    assert again.is_signed_by(key.public)


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "d"},
        {"number": 2},
        {"seq": 7},
        {"head": b"\1" * 32},
        {"previous": b"\1"},
        {"at": datetime.now(UTC) + timedelta(hours=1)},
        {"reason": "close"},
        {"key": "0" * 64},
        {"signature": b"\1" * 64},
    ],
)
def test_whatever_is_changed_in_a_checkpoint_breaks_its_signature(key, change) -> None:
    signed = Chain.begin("c").sign(key, "start")

    assert not dataclasses.replace(signed, **change).is_signed_by(key.public)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"chain":"c"}', "x"])
def test_what_is_no_checkpoint_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Checkpoint.from_json(text)


def test_keys_are_found_by_their_fingerprint_and_the_newest_signs(tmp_path) -> None:
    first = RecordingKeys.load_or_create(tmp_path / "state").newest
    keys = RecordingKeys.rotate(tmp_path / "state")

    assert keys.newest.fingerprint != first.fingerprint
    assert {key.fingerprint for key in keys.all} == {first.fingerprint, keys.newest.fingerprint}
    assert keys.get(first.fingerprint) is not None
    assert keys.get("nobody") is None
