"""The candidates of a request keep all they know of an item when they are merged, joined and taken."""

import numpy as np

from recommender_transformer.funnel.candidates import Candidates
from winnow.ranking.context import NOTHING, SourceList

ROW = np.dtype([("index", "<u4")])
TYPES = 3


def listed(*items: int) -> SourceList:
    return SourceList(np.array(items, np.int32), np.arange(len(items), 0, -1, dtype=np.float32))


def test_merged_candidates_are_distinct_and_unscored() -> None:
    merged = Candidates.merge([listed(7, 3), NOTHING, listed(3, 9)], ROW, TYPES)
    assert merged.items.tolist() == [7, 3, 9]
    proposed = ~np.isnan(merged.scores)
    assert proposed.tolist() == [[True, False, False], [True, False, True], [False, False, True]]
    assert merged.probabilities.shape == (3, TYPES + 2)
    assert np.isnan(merged.probabilities).all()
    assert np.isnan(merged.value).all()
    assert (merged.seen.tolist(), merged.propensity.tolist(), merged.score.tolist()) == ([False] * 3, [1] * 3, [0] * 3)


def test_taken_and_joined_candidates_keep_every_attribute() -> None:
    whole = Candidates.merge([listed(7, 3, 9, 4)], ROW, TYPES)
    numbers = np.arange(4)
    whole.rows["index"] = whole.items
    whole.probabilities[:] = numbers[:, None]
    whole.value[:], whole.score[:], whole.propensity[:] = numbers, -numbers, numbers / 10
    whole.seen[:] = numbers % 2 == 1
    chosen = np.array([2, 0, 3])
    taken = whole.take(chosen)
    joined = Candidates.join(taken, whole.take(np.array([1])))
    assert joined.items.tolist() == [9, 7, 4, 3]
    order = np.append(chosen, 1)
    for name, array in vars(whole).items():
        assert (getattr(taken, name) == array[chosen]).all(), name
        assert (getattr(joined, name) == array[order]).all(), name
        assert getattr(joined, name).dtype == array.dtype, name
