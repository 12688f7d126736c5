"""Metrics of lists as ratios of sums over users, so that a bootstrap over users gives their intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from winnow.ranking.metrics import SHOWN, discounts


class Ratio(NamedTuple):
    """A metric: ``gained.sum() / possible.sum()`` over any users.

    Attributes:
        gained: float64 [users].
        possible: float64 [users], not negative.
    """

    gained: NDArray[np.float64]
    possible: NDArray[np.float64]


class Popularity(NamedTuple):
    """How known each item is.

    Attributes:
        percentile: float64 [items + 1], share of the catalog that has at most as many users, ties counting half.
        information: float64 [items + 1], bits: ``-log2`` of the share of users who know the item.
    """

    percentile: NDArray[np.float64]
    information: NDArray[np.float64]

    @classmethod
    def of(cls, users_of_item: NDArray[np.int64], users: int) -> "Popularity":
        """The popularity in a log.

        Args:
            users_of_item: int64 [items + 1], how many users have an event with each item; row 0 is padding.
            users: number of users. An item that none knows counts as known by half a user.
        """
        counted = users_of_item[1:]
        percentile = (rankdata(counted) - 0.5) / max(1, len(counted))
        information = -np.log2(np.maximum(counted, 0.5) / max(1, users))
        return cls(*(np.concatenate([[0.0], column]) for column in (percentile, information)))


def ratios(
    top: NDArray[np.int32], held_out: NDArray[np.int32], values: NDArray[np.float64], popularity: Popularity
) -> dict[str, Ratio]:
    """Every metric but the coverage, which is no mean over users.

    ``popularity@10`` is the mean popularity percentile of the shown items, ``novelty@10`` their mean self-information
    (Castells et al., Recommender Systems Handbook, 2022, chapter 16); :mod:`winnow.ranking.metrics` defines the others.

    Args:
        top: int32 [users, >= 50], item indices, best first, padded with 0.
        held_out: int32 [users].
        values: float64 [users], the value of what each user did with the held-out item.
        popularity: of the items.
    """
    gain, ones = discounts(top, held_out, SHOWN), np.ones(len(top))
    hit = (gain > 0).astype(np.float64)
    shown = top[:, :SHOWN]
    count = (shown > 0).sum(axis=1).astype(np.float64)
    return {
        f"ndcg@{SHOWN}": Ratio(gain, ones),
        f"recall@{SHOWN}": Ratio(hit, ones),
        "recall@50": Ratio((discounts(top, held_out, 50) > 0).astype(np.float64), ones),
        f"value_ndcg@{SHOWN}": Ratio(values * gain, np.maximum(values, 0.0)),
        f"mean_value@{SHOWN}": Ratio(values * hit, hit),
        f"popularity@{SHOWN}": Ratio(popularity.percentile[shown].sum(axis=1), count),
        f"novelty@{SHOWN}": Ratio(popularity.information[shown].sum(axis=1), count),
    }
