"""The tombstone of a user: since when what is known of them must not be used.

It is in the hash slot of the user's keys, so that whoever writes these can watch it or check it in the same script: an
event that a sidecar had read before an erasure cannot bring the user back. Its key contains a digest, not the id.
"""

from functools import lru_cache
from typing import NamedTuple

from redis.crc import key_slot

from winnow.erasures.digest import digest


class Tombstone(NamedTuple):
    """What a tombstone says.

    Attributes:
        at_ms: events that entered the stream until then, by Redis's clock, are not the user's any more.
        into: the user that they belong to, after a merge; ``None`` after an erasure.
    """

    at_ms: int
    into: str | None = None

    @property
    def packed(self) -> bytes:
        """The value in Redis."""
        return (str(self.at_ms) if self.into is None else f"{self.at_ms}|{self.into}").encode()


def tombstone_key(user_id: str) -> str:
    """String: the tombstone of a user, in the slot of the keys with the tag ``{u:USER}``; it does not expire."""
    return f"gone:{{{_tag(key_slot(f'{{u:{user_id}}}'.encode()))}}}:{digest(user_id)}"


def parse_tombstone(packed: bytes | None) -> Tombstone | None:
    """Parse the value of a tombstone; ``None`` for a user without one."""
    if not packed:
        return None
    moment, merged, into = packed.decode().partition("|")
    return Tombstone(int(moment), into if merged else None)


@lru_cache(maxsize=2**14)
def _tag(slot: int) -> str:
    """A hash tag of a slot: four characters from ``@`` to ``_``.

    A slot is a CRC, to which each bit of a key contributes on its own, so bits that give a slot are found by
    elimination.
    """
    rows, base = _rows()
    wanted, bits = slot ^ base, 0
    for row in rows:
        if wanted ^ row[0] < wanted:
            wanted, bits = wanted ^ row[0], bits ^ row[1]
    return _characters(bits)


@lru_cache(maxsize=1)
def _rows() -> tuple[list[tuple[int, int]], int]:
    """What groups of bits change in the slot, each with a highest bit of its own, descending; and the slot of none."""
    base = key_slot(_characters(0).encode())
    rows: list[tuple[int, int]] = []
    for place in range(20):
        change, bits = key_slot(_characters(1 << place).encode()) ^ base, 1 << place
        for row in rows:
            if change ^ row[0] < change:
                change, bits = change ^ row[0], bits ^ row[1]
        if change:
            rows = sorted([*rows, (change, bits)], reverse=True)
    return rows, base


def _characters(bits: int) -> str:
    return "".join(chr(0x40 | bits >> 5 * place & 31) for place in range(4))
