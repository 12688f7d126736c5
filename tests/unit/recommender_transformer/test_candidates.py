"""The candidates of a request keep all they know of an item when they are merged, joined and taken."""

import numpy as np

from recommender_transformer.funnel.candidates import Candidates
from winnow.arrays.membership import are_among
from winnow.ranking.context import NOTHING, SOURCES, SourceList, UserPast, context_features, placed_features

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


def test_places_are_the_positions_in_the_lists_and_give_the_context_features() -> None:
    """The features that serving computes from the places are the ones that training computes from the lists."""
    rng = np.random.default_rng(0)
    lists = {
        name: SourceList(rng.permutation(60)[:count].astype(np.int32), -np.sort(-rng.random(count)).astype(np.float32))
        for name, count in (("retriever", 30), ("covisitation", 20), ("trending", 10), ("history", 0))
    }
    whole = Candidates.merge([lists[name] for name in SOURCES], ROW, TYPES)
    backfilled = Candidates.merge([*[NOTHING] * 3, listed(70, 71)], ROW, TYPES)
    merged = Candidates.join(whole, backfilled).take(rng.permutation(len(whole) + 2))
    for column, name in enumerate(SOURCES):
        of_list = lists[name].items.tolist()
        expected = [of_list.index(item) if item in of_list else -1 for item in merged.items.tolist()]
        assert merged.places[merged.items < 70, column].tolist() == [
            place for place, item in zip(expected, merged.items.tolist(), strict=True) if item < 70
        ]
    past = UserPast(np.array([3, 4], np.int32), np.array([0, 9]), np.isin(merged.items, [3]))
    places = [merged.places[:, column] for column in range(len(SOURCES))]
    assert (placed_features(merged.items, places, lists, past) == context_features(merged.items, lists, past)).all()


def test_membership_is_numpys() -> None:
    rng = np.random.default_rng(0)
    for few in (0, 1, 50):
        items, chosen = rng.integers(0, 90, 200).astype(np.int32), rng.integers(0, 90, few).astype(np.int32)
        assert (are_among(items, chosen) == np.isin(items, chosen)).all()


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
