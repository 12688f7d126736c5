"""Removes most items of categories that the user has never interacted with."""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.bloom.hashing import ItemHashes
from winnow.bloom.seen import SeenFilter

EXPLORE = 0.1
"""Share of the unlikely candidates that are kept, so that new interests of a user can be discovered."""

FEWEST = 100
"""Minimum number of seen items for which a missing category is evidence; measured in docs/decisions/0015."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)
_DRAWN_BELOW = np.uint64(int(EXPLORE * 2**32))


class Unlikely:
    """Removes candidates none of whose categories the user has interacted with, except for a random share of them.

    Does not apply to requests with a query or a category filter, which state the interest, nor to users with few
    events, whose missing categories may be missing by chance. Items without a category and items that the user has seen
    are kept. The random share is drawn per user and release, so that repeated requests return the same list.

    Args:
        catalog: gives the items' indices, hashes and rows.
        hashes: hash of every category of the release, by code.
        width: columns of the category in an item row.
        release: number of the release.
    """

    name = "unlikely"
    relaxable = True

    def __init__(self, catalog: Catalog, hashes: ItemHashes, width: int, release: int) -> None:
        self._catalog = catalog
        self._release = release
        self._hashes = hashes
        self._width = width

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True for likely candidates and for the explored share, whose propensity is set to :data:`EXPLORE`."""
        touched, seen = query.user.state.categories, query.user.state.seen
        recent = self._catalog.indices(query.user.state.recent)
        if query.states_interest or touched is None or seen is None or self._count(seen, recent) < FEWEST:
            return None
        codes = candidates.rows["categorical"][:, : self._width]
        # Many candidates share few categories: look up each category once.
        distinct = np.flatnonzero(np.bincount(codes.ravel(), minlength=1))
        likely = np.zeros(len(self._hashes), dtype=np.bool_)
        likely[distinct] = touched.contains(distinct.astype(np.int32), self._hashes)
        likely[self._catalog.rows.take(recent)["categorical"][:, : self._width]] = True
        # Code 0 is "no category", and is first only if the item has none.
        likely[0] = False
        kept: NDArray[np.bool_] = likely.take(codes).any(axis=1) | (codes[:, 0] == 0) | candidates.seen
        unlikely = np.flatnonzero(~kept)
        explored = unlikely[_drawn(f"{self._release} {query.request.user_id}", candidates.items.take(unlikely))]
        candidates.propensity[explored] = EXPLORE
        kept[explored] = True
        return kept

    def _count(self, seen: SeenFilter, recent: NDArray[np.int32]) -> int:
        """Number of seen items; the seen filter may contain some of the recent ones."""
        if not len(seen) < FEWEST <= len(seen) + len(recent):
            return len(seen)
        return len(seen) + int((~seen.contains(recent, self._catalog)).sum())

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """The same reason for all."""
        return ["the user has not interacted with any of its categories"] * len(candidates)


def _drawn(seed: str, items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """A draw per item, the same for the same seed: a hash of both, after the finaliser of splitmix64."""
    mixed = (items.astype(np.uint64) | np.uint64(crc32(seed.encode()) << 32)) * _GOLDEN
    mixed ^= mixed >> _HALF
    mixed *= _MIX
    drawn: NDArray[np.bool_] = (mixed >> _HALF) < _DRAWN_BELOW
    return drawn
