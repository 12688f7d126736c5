"""The exact shadow: for a few users the items themselves are kept beside the filter, to measure how often it errs.

Which users is decided by a hash of their id, so every process samples the same ones and nobody has to remember which.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from winnow.bloom.seen import SeenFilter

SHARE = 256
"""One user in so many has a shadow."""

MOST = 4096
"""Items of one shadow; a user who meets more has none."""

Shadow = dict[int, int]
"""Item hash -> end of the newest window in which the item was met, seconds since the epoch."""


class Errors(NamedTuple):
    """How a filter compares with its shadow.

    Attributes:
        asked: items that the user has not met, asked of the filter.
        wrong: of these, how many the filter takes for met.
        missing: items that the user has met and the filter denies; anything but 0 is a defect.
    """

    asked: int
    wrong: int
    missing: int


def sampled(user_id: str) -> bool:
    """Whether the user has a shadow."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=4).digest(), "little") % SHARE == 0


def errors(seen: SeenFilter, shadow: Shadow, probes: Sequence[int]) -> Errors:
    """Ask the filter for every item of the shadow, and for ``probes`` that are not in it.

    Args:
        seen: the filter.
        shadow: what is in it.
        probes: hashes of items of the catalog.
    """
    unmet = [value for value in probes if value not in shadow]
    wrong = sum(value in seen for value in unmet)
    missing = sum(end in seen.windows and value not in seen.windows[end] for value, end in shadow.items())
    return Errors(len(unmet), wrong, missing)
