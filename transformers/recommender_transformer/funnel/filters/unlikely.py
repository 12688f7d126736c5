"""Rarely an item of a kind that the user has never touched."""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.bloom.hashing import ItemHashes
from winnow.bloom.seen import SeenFilter

EXPLORE = 0.1
"""Share of the unlikely candidates that stay, so that a taste nobody has shown yet can still be found."""

FEWEST = 100
"""Items met from which on a user's log says something of what is missing from it; measured in docs/decisions/0015."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)
_DRAWN_BELOW = np.uint64(int(EXPLORE * 2**32))


class Unlikely:
    """Removes candidates none of whose categories the user ever touched, except for a share of them.

    Who looks for something or names categories says what is wanted, and what few events lack they may lack by chance:
    for them all is likely. So is an item without a category. The share is drawn for each user anew with each release: a
    list that changed at every look would be no list.

    Args:
        catalog: whose items are judged.
        hashes: hash of every category of the release, by code.
        width: columns that the category takes in an item row.
        release: number of the release.
    """

    name = "unlikely"
    relaxable = True

    def __init__(self, catalog: Catalog, hashes: ItemHashes, width: int, release: int) -> None:
        self._catalog = catalog
        self._release = release
        self._hashes = hashes
        self._width = width

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_]:
        """True for likely candidates and for the explored share, whose propensity is set to say so."""
        touched, met = query.state.categories, query.state.seen
        recent = self._catalog.indices(query.state.recent)
        wanted = query.request.query is not None or query.categories is not None
        if wanted or touched is None or met is None or self._count(met, recent) < FEWEST:
            return np.ones(len(candidates), dtype=np.bool_)
        codes = candidates.rows["categorical"][:, : self._width]
        # Many candidates share few categories: each category is looked up once.
        distinct = np.flatnonzero(np.bincount(codes.ravel(), minlength=1))
        known = np.zeros(len(self._hashes), dtype=np.bool_)
        known[distinct] = touched.contains(distinct.astype(np.int32), self._hashes)
        known[self._catalog.rows["categorical"][recent, : self._width]] = True
        # Code 0 is no category, and comes first only where there is none.
        known[0] = False
        kept: NDArray[np.bool_] = known.take(codes).any(axis=1) | (codes[:, 0] == 0)
        unlikely = np.flatnonzero(~kept)
        explored = unlikely[_drawn(f"{self._release} {query.request.user_id}", candidates.items.take(unlikely))]
        candidates.propensity[explored] = EXPLORE
        kept[explored] = True
        return kept

    def _count(self, met: SeenFilter, recent: NDArray[np.int32]) -> int:
        """Items met; those of a moment ago may be in the filter already."""
        if not len(met) < FEWEST <= len(met) + len(recent):
            return len(met)
        return len(met) + int((~met.contains(recent, self._catalog.hashes)).sum())

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """One for all."""
        return ["no category of it was ever touched"] * len(candidates)


def _drawn(seed: str, items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """A draw per item, the same for the same seed: a hash of both, after the finaliser of splitmix64."""
    mixed = (items.astype(np.uint64) | np.uint64(crc32(seed.encode()) << 32)) * _GOLDEN
    mixed ^= mixed >> _HALF
    mixed *= _MIX
    drawn: NDArray[np.bool_] = (mixed >> _HALF) < _DRAWN_BELOW
    return drawn
