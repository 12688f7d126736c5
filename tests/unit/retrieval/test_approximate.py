"""The approximate index and its search, without Triton."""

import faiss
import numpy as np
import pytest

from winnow.local.triton_backend.faiss.faiss_search import Search
from winnow.retrieval.approximate import Queries, approximate, build_index, exact_lists, lists_of, recall

ITEMS, WIDTH = 6_000, 16


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(0).standard_normal((ITEMS + 1, WIDTH)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def queries(vectors, count):
    return Queries(vectors[1:21].copy(), np.zeros((20, 1), np.int32), count, False)


def test_builds_of_one_seed_are_equal(vectors):
    one, other = (faiss.serialize_index(build_index(vectors, lists_of(ITEMS), seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_search_of_too_few_items_reads_all_lists(vectors):
    index = build_index(vectors, lists_of(ITEMS))
    index.nprobe = 1
    count = 2 * ITEMS // lists_of(ITEMS)
    asked = queries(vectors, count)
    items, scores = Search(index, vectors, count, 4, False).best(asked.users, asked.history)
    assert all(len(set(row)) == count and 0 not in row for row in items.tolist())
    assert (np.diff(scores, axis=1) <= 0).all()
    assert recall(items, exact_lists(vectors, asked)) > 0.95


def test_equal_scores_are_in_the_order_of_the_items(vectors):
    twice = np.concatenate([vectors, vectors[1:]])
    asked = queries(twice, 20)
    items, scores = approximate(twice, asked, 0.9).search.best(asked.users, asked.history)
    equal = np.diff(scores, axis=1) == 0
    assert equal.sum() > 100
    assert (np.diff(items, axis=1)[equal] > 0).all()


def test_effort_grows_with_the_required_recall(vectors):
    asked = queries(vectors, 50)
    little, much = (approximate(vectors, asked, least) for least in (0.5, 0.99))
    assert little.recall >= 0.5
    assert much.recall >= 0.99
    assert little.recall < much.recall


def test_an_index_of_another_release_is_refused(vectors):
    index = build_index(vectors, 1)
    with pytest.raises(ValueError, match="index holds 6000 vectors of width 16, but the release has 5999 items"):
        Search(index, vectors[:-1], 10, 2, False)
    with pytest.raises(ValueError, match="the list has 6001 candidates, but the catalog has 6000 items"):
        Search(index, vectors, 6001, 2, False)
