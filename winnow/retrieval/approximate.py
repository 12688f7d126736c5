"""An approximate index of the items for CPUs, with FAISS: its build, and the search effort that reaches a recall.

Larger catalogs are divided into lists by k-means, and a vector is kept as 4-bit codes (IVF-PQ fast scan). A search
reads the codes of the lists nearest to the user and scores the best of them again with the true vectors. Where it would
read much of the lists, one scan of shorter codes may be faster. FAISS is imported on use: serving works without it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

if TYPE_CHECKING:
    from winnow.local.triton_backend.faiss.faiss_search import Search

FLAT_ITEMS = 1_000
"""Catalogs below this size are kept as they are: they are too small to train codes with."""

_SAMPLE_PER_LIST = 50
"""Vectors per list that k-means learns from; FAISS asks for at least 39."""

_MOST_LISTS = 8192
_CODES_SAMPLE = 50_000
_CHUNK = 100_000
_REFINE = (2, 4, 8, 12, 16)
_FEW_LISTS = 1 / 8
"""A search that must read more than this share of the lists may be slower than a scan of all codes."""

_TIMED = 20
"""Searches of one user each that a latency is the median of."""

Floats = NDArray[np.float32]
Items = NDArray[np.int32]


@dataclass(frozen=True)
class Tuned:
    """A search with the least effort that reaches a recall.

    Attributes:
        search: with the chosen effort; its index holds the number of lists to read.
        lists: of the index; 1 where every search reads all codes.
        probed: lists that a search reads.
        recall: mean share of the exact list in the found one.
        milliseconds: median of a search for one user, one thread.
    """

    search: "Search"
    lists: int
    probed: int
    recall: float
    milliseconds: float


@dataclass(frozen=True)
class Queries:
    """Users whose lists are compared, and the form of the lists.

    Attributes:
        users: float32 [B, D], vectors of users.
        history: int32 [B, L], their histories, padded with 0.
        count: ``K``.
        hides_history: whether items of the history come last.
    """

    users: Floats
    history: Items
    count: int
    hides_history: bool


def approximate(vectors: Floats, queries: Queries, least: float, seed: int = 0, show_progress: bool = False) -> Tuned:
    """Build an index and find the fastest search of it that contains a share of the exact lists.

    Args:
        vectors: float32 [n + 1, D]; row 0 is padding.
        queries: real users.
        least: share of the exact lists to reach.
        seed: of the training samples and of k-means.
        show_progress: show a bar.

    Returns:
        The fastest search that reaches ``least``; where none does, the one with the highest recall.
    """
    lists = lists_of(len(vectors) - 1)
    best = tune(build_index(vectors, lists, seed, show_progress), vectors, queries, least)
    if lists > 1 and (best.recall < least or best.probed > _FEW_LISTS * lists):
        scan = tune(build_index(vectors, 1, seed, show_progress), vectors, queries, least)
        # A recall beyond the required one is no reason to wait longer.
        best = min(best, scan, key=lambda one: (-min(one.recall, least), one.milliseconds))
    return best


def lists_of(items: int) -> int:
    """Lists of an index of ``items``: their number grows with the root, so that lists and centroids cost alike."""
    if items < FLAT_ITEMS:
        return 1
    return int(min(_MOST_LISTS, 2 ** round(np.log2(2 * np.sqrt(items))), items // _SAMPLE_PER_LIST))


def build_index(vectors: Floats, lists: int, seed: int = 0, show_progress: bool = False) -> Any:
    """Train an index on a sample of the items, and add all items.

    Args:
        vectors: float32 [n + 1, D]; row 0, which is padding, is left out.
        lists: parts of the catalog; 1 for a scan of all codes.
        seed: of the sample and of k-means.
        show_progress: show a bar.

    Returns:
        A FAISS index: flat below ``FLAT_ITEMS`` items, else PQ fast scan, in inverted lists if there are several.
    """
    import faiss

    items, width = len(vectors) - 1, vectors.shape[1]
    index: Any
    if items < FLAT_ITEMS:
        index = faiss.IndexFlatIP(width)
    elif lists == 1:
        codes = width // 2 if width % 2 == 0 else width
        index = faiss.IndexPQFastScan(width, codes, 4, faiss.METRIC_INNER_PRODUCT)
    else:
        quantizer = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFPQFastScan(quantizer, width, lists, width, 4, faiss.METRIC_INNER_PRODUCT)
        # Codes of the distance to the list's centre: the items of a dense part of the catalog differ little.
        index.by_residual = True
        index.cp.seed = seed + 1
    sampled = np.random.default_rng(seed).permutation(items)[: max(_CODES_SAMPLE, _SAMPLE_PER_LIST * lists)] + 1
    with tqdm(total=items + len(sampled), desc="index", unit="item", disable=not show_progress) as bar:
        index.train(np.ascontiguousarray(vectors[np.sort(sampled)]))
        bar.update(len(sampled))
        for start in range(1, items + 1, _CHUNK):
            chunk = np.ascontiguousarray(vectors[start : start + _CHUNK])
            index.add(chunk)
            bar.update(len(chunk))
    return index


def exact_lists(vectors: Floats, queries: Queries) -> Items:
    """The exact lists that recall is measured against, unordered: items [B, K], 0 in place of hidden ones."""
    from winnow.local.triton_backend.faiss.faiss_search import HIDDEN

    found = np.empty((len(queries.users), queries.count), np.int32)
    for row, (user, history) in enumerate(zip(queries.users, queries.history, strict=True)):
        scores = vectors @ user
        scores[history if queries.hides_history else 0] = HIDDEN
        scores[0] = -np.inf
        best = np.argpartition(-scores, queries.count - 1)[: queries.count]
        found[row] = np.where(scores[best] > HIDDEN, best, 0)
    return found


def recall(found: Items, exact: Items) -> float:
    """Mean share of the exact lists, [B, K] each, that the found ones contain."""
    shares = [np.isin(theirs[theirs > 0], ours) for ours, theirs in zip(found, exact, strict=True)]
    return float(np.mean([share.mean() for share in shares if share.size] or [1.0]))


def tune(index: Any, vectors: Floats, queries: Queries, least: float) -> Tuned:
    """Find the fastest search of an index that contains a share of the exact lists.

    Per number of items to score again, the lists to read are doubled until the recall is reached.

    Args:
        index: from :func:`build_index`; the number of lists that it reads is set.
        vectors: float32 [n + 1, D].
        queries: real users.
        least: the recall to reach.

    Returns:
        The fastest search that reaches it; where none does, the one with the highest recall.
    """
    from winnow.local.triton_backend.faiss.faiss_search import Search

    exact = exact_lists(vectors, queries)
    lists = getattr(index, "nlist", 1)
    tried: list[Tuned] = []
    with one_thread():
        for refine in _REFINE:
            search = Search(index, vectors, queries.count, refine, queries.hides_history)
            # Fewer lists would hold too few items.
            probed = min(lists, 1 + 2 * refine * queries.count * lists // search.items)
            while True:
                _read(index, probed)
                reached = recall(search.best(queries.users, queries.history)[0], exact)
                if reached >= least or probed == lists:
                    break
                probed = min(lists, 2 * probed)
            timed = milliseconds(partial(_one, search, queries), len(queries.users))
            tried.append(Tuned(search, lists, probed, reached, timed))
    best = min(tried, key=lambda one: (-min(one.recall, least), one.milliseconds))
    _read(index, best.probed)
    return best


def _one(search: "Search", queries: Queries, row: slice) -> None:
    search.best(queries.users[row], queries.history[row])


def _read(index: Any, lists: int) -> None:
    """Set how many lists a search reads; a flat index has none."""
    if hasattr(index, "nlist"):
        index.nprobe = lists


def milliseconds(search: Callable[[slice], object], users: int) -> float:
    """Median time of a search for one user.

    Args:
        search: takes the row of the user to search for.
        users: number of rows.
    """
    times = []
    for number in range(_TIMED):
        start = time.perf_counter()
        search(slice(number % users, number % users + 1))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use one thread, as in an instance of a model."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
