"""Stable 128-bit item hashes: what the Bloom filters store, the same in every process and release.

Python's own ``hash`` of a string differs from process to process, so a filter written by the sidecar would be noise to
the transformer. The hash of an item is computed once; a filter then takes it as it is (``operator.index``).
"""

from collections.abc import Iterable
from hashlib import blake2b


def item_hash(item_id: str) -> int:
    """Signed 128-bit hash of an item id."""
    return int.from_bytes(blake2b(item_id.encode(), digest_size=16).digest(), "little", signed=True)


def item_hashes(item_ids: Iterable[str]) -> list[int]:
    """The hash of every item, by item index."""
    return [item_hash(item_id) for item_id in item_ids]
