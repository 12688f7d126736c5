"""Tombstones, digests and the ledger."""

import pytest
from redis.crc import key_slot

from winnow.erasures.digest import VARIABLE, digest, key_id
from winnow.erasures.ledger import Ledger, Merge, moment_of
from winnow.erasures.tombstone import Tombstone, parse_tombstone, tombstone_key
from winnow.store.keys import Keys, attributes, recent


@pytest.mark.parametrize("user_id", ["ana", "a}b", "}", "{", "{u:x}", "ключ", "x" * 256])
def test_a_tombstone_is_in_the_users_slot_and_does_not_name_the_user(user_id: str) -> None:
    key = tombstone_key(user_id)
    slots = {key_slot(name.encode()) for name in (recent(user_id), attributes(user_id), Keys(7).user_row(user_id))}
    assert slots == {key_slot(key.encode())}
    assert key.startswith("gone:{")
    assert len(key) == len("gone:{abcd}:") + 32


def test_every_slot_has_a_tag() -> None:
    assert len({key_slot(tombstone_key(str(number)).encode()) for number in range(200_000)}) == 16_384


@pytest.mark.parametrize("tombstone", [Tombstone(5), Tombstone(5, "b"), Tombstone(17, "a|b"), Tombstone(1, "")])
def test_a_tombstone_is_read_back(tombstone: Tombstone) -> None:
    assert parse_tombstone(tombstone.packed) == tombstone
    assert parse_tombstone(None) is None


def test_the_secret_changes_digests_and_the_keys_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest("ana"), key_id()
    monkeypatch.setenv(VARIABLE, "secret " * 30)
    assert len({before[0], digest("ana"), digest("bo")}) == 3
    assert key_id() != before[1]
    monkeypatch.delenv(VARIABLE)
    assert (digest("ana"), key_id()) == before


def test_whose_an_event_is() -> None:
    ledger = Ledger({digest("gone"): 50, digest("a"): 10}, {"a": Merge("b", 20, 99), "b": Merge("c", 40, 99)})
    assert [ledger.owner("gone", at_ms) for at_ms in (50, 51)] == [None, "gone"]
    assert [ledger.owner("a", at_ms) for at_ms in (10, 11, 20, 21)] == [None, "c", "c", "a"]
    assert [ledger.owner("b", at_ms) for at_ms in (40, 41)] == ["c", "b"]
    assert ledger.merged_into("c") == ["b", "a"]
    assert ledger.gone(["gone", "a", "b", "other"], 30).tolist() == [True, False, True, False]
    assert moment_of("17-3") == 17
    assert moment_of("") == -1
