"""Shadow sets: the exact seen items of a sample of users, stored beside the filter to measure its error rates.

A hash of the user's id decides who is sampled, so every process samples the same users without coordination.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from winnow.bloom.seen import SeenFilter

SHARE = 256
"""One user in this many is sampled."""

MAX_ITEMS = 4096
"""Maximum number of items of a shadow set; a user with more seen items has none."""

Shadow = dict[int, int]
"""Item hash -> end of the newest window in which the item was seen, in seconds since the epoch."""


class Errors(NamedTuple):
    """Errors of a filter, counted against its shadow set.

    Attributes:
        probes: unseen items tested against the filter.
        false_positives: probes that the filter reports as seen.
        false_negatives: seen items that the filter does not report; anything but 0 is a defect.
    """

    probes: int
    false_positives: int
    false_negatives: int


def sampled(user_id: str) -> bool:
    """Whether the user is in the sample."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=4).digest(), "little") % SHARE == 0


def errors(seen: SeenFilter, shadow: Shadow, probes: Sequence[int]) -> Errors:
    """Test the filter with every item of the shadow set, and with the ``probes`` that are not in it.

    Args:
        seen: the filter.
        shadow: the items that the filter should contain.
        probes: hashes of catalog items.
    """
    unseen = [value for value in probes if value not in shadow]
    false_positives = sum(value in seen for value in unseen)
    false_negatives = sum(end in seen.windows and value not in seen.windows[end] for value, end in shadow.items())
    return Errors(len(unseen), false_positives, false_negatives)
