"""Candidate lists for past moments, as the release's own sources would have produced them.

A source that was fitted to a moment has seen its target, so a ranker that learns from that source's list trusts the
source too much. The lists are therefore of withheld moments only, from sources fitted without them: the retriever's
holdout fit, and a co-visitation table of the same rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from winnow.features.table import FeatureSet
from winnow.ranking.context import CONTEXT_FEATURES, SourceList, context_features
from winnow.retrieval.covisitation import covisitation_scores
from winnow.schema import NUMERIC_FEATURES
from winnow.settings.training import CandidateCounts, ListSettings, TrainingSettings
from winnow.training.covisitation import covisitation_table
from winnow.training.retriever import RetrieverTraining
from winnow.training.retriever_windows import first_interactions
from winnow.training.trained_retriever import TrainedRetriever

NumericsAt = Callable[[NDArray[np.int32], NDArray[np.int64]], NDArray[np.float32]]
"""Item numerics of ``items[j]`` as they stood just before ``timestamps[j]``: float32 [k, M]."""


@dataclass(frozen=True)
class CandidateLists:
    """One list per past moment.

    Attributes:
        user: int64 [Q].
        end: int64 [Q], the row of the log that happened next; the history is the rows before it.
        history: int64 [Q], events of the history that the models see; 0 for a list made as for a cold-start user.
        items: int32 [Q, N], candidates, padded with 0.
        context: float32 [Q, N, X].
        target: int64 [Q], position among the candidates of the item that the user interacted with next.
        conversion: bool [Q], whether that interaction was a conversion.
    """

    user: NDArray[np.int64]
    end: NDArray[np.int64]
    history: NDArray[np.int64]
    items: NDArray[np.int32]
    context: NDArray[np.float32]
    target: NDArray[np.int64]
    conversion: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.int64]) -> "CandidateLists":
        """The chosen lists."""
        return CandidateLists(
            self.user[chosen],
            self.end[chosen],
            self.history[chosen],
            self.items[chosen],
            self.context[chosen],
            self.target[chosen],
            self.conversion[chosen],
        )


def past_lists(
    features: FeatureSet,
    retrieval: RetrieverTraining,
    numerics_at: NumericsAt,
    settings: TrainingSettings,
    show_progress: bool,
) -> CandidateLists:
    """Lists for the moments that the holdout fit did not see, and for the first moment of every user.

    A moment whose target no source found is left out: there is no order to learn from its list.

    Args:
        features: the feature set.
        retrieval: the trained retriever with its holdout fit.
        numerics_at: point-in-time item numerics, for the trending list.
        settings: which moments, how many candidates each source gives, and how the co-visitation table is fitted.
        show_progress: draw a progress bar.
    """
    log, counts, limit = features.interactions, settings.candidates, settings.lists.withheld
    first = first_interactions(log)
    user_of = np.repeat(np.arange(log.users), np.diff(log.offsets))
    row = np.arange(len(log.item))
    withheld = _newest(
        row[(row >= retrieval.until[user_of]) & first & (row > log.offsets[user_of])], log.timestamp, limit
    )
    opening = _newest(row[row == log.offsets[user_of]], log.timestamp, limit // settings.lists.cold_start_every)
    neighbours, weights = covisitation_table(log, retrieval.until, features.items, settings.covisitation)
    times = log.timestamp[np.concatenate([withheld, opening])]
    trending = _Trending(features, numerics_at, times, settings.lists, counts)
    length = retrieval.holdout_fit.settings.history_length
    found: list[tuple[int, int, NDArray[np.int32], NDArray[np.float32], int]] = []
    retrieved = retrieve(retrieval.holdout_fit, features, user_of[withheld], withheld, counts.retriever)
    bar = tqdm(total=len(withheld) + len(opening), desc="candidate lists", unit="list", disable=not show_progress)
    for position, end in enumerate(np.concatenate([withheld, opening]).tolist()):
        bar.update()
        begin = int(log.offsets[user_of[end]])
        answers = {"trending": trending.at(int(log.timestamp[end]))}
        if position < len(withheld):
            newest_first = log.item[max(begin, end - length) : end][::-1]
            answers["retriever"] = SourceList(retrieved.items[position], retrieved.scores[position])
            answers["covisitation"] = SourceList(
                *covisitation_scores(neighbours, weights, newest_first, counts.covisitation)
            )
        history = min(length, end - begin) if position < len(withheld) else 0
        candidates = merge(answers, log.item[begin:end] if history else log.item[:0])
        hit = np.flatnonzero(candidates == log.item[end])
        if len(hit):
            found.append((end, history, candidates, context_features(candidates, answers, history), int(hit[0])))
    bar.close()
    return _packed(features, user_of, found)


def retrieve(
    model: TrainedRetriever, features: FeatureSet, users: NDArray[np.int64], ends: NDArray[np.int64], k: int
) -> SourceList:
    """The retriever's answers for many moments at once: items int32 [B, k] and scores float32 [B, k].

    Items of the history that the model sees are excluded, as in :class:`winnow.models.served.ServedRetriever`.
    """
    log, vectors = features.interactions, model.item_vectors.numpy()
    k = min(k, features.items)
    items, scores = np.zeros((len(users), k), np.int32), np.zeros((len(users), k), np.float32)
    for part in np.array_split(np.arange(len(users)), len(users) // 256 + 1):
        if not len(part):
            continue
        logits = model.user_vectors(features, users[part], ends[part]) @ vectors.T
        for row, end, user in zip(logits, ends[part].tolist(), users[part].tolist(), strict=True):
            row[log.item[max(int(log.offsets[user]), end - model.settings.history_length) : end]] = -1e9
        logits[:, 0] = -2e9
        best = np.argpartition(-logits, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(logits, best, 1), axis=1, kind="stable")
        items[part] = np.take_along_axis(best, order, 1)
        scores[part] = np.take_along_axis(logits, items[part], 1)
    return SourceList(items, scores)


def merge(answers: dict[str, SourceList], seen: NDArray[np.int32]) -> NDArray[np.int32]:
    """All candidates, each once, without the items in ``seen``."""
    merged = np.unique(np.concatenate([answer.items for answer in answers.values()]))
    return merged[(merged > 0) & ~np.isin(merged, seen)]


class _Trending:
    """The trending list as it stood at a few moments."""

    def __init__(
        self,
        features: FeatureSet,
        numerics_at: NumericsAt,
        times: NDArray[np.int64],
        settings: ListSettings,
        counts: CandidateCounts,
    ) -> None:
        spread = np.linspace(0, len(times) - 1, settings.trending_moments).astype(np.int64)
        self.moments = np.unique(np.sort(times)[spread]) if len(times) else np.array([features.as_of])
        catalog = np.arange(1, features.items + 1, dtype=np.int32)
        popularity = NUMERIC_FEATURES.index("popularity_7d")
        self.lists = []
        for moment in self.moments.tolist():
            share = numerics_at(catalog, np.full(len(catalog), moment, np.int64))[:, popularity]
            best = catalog[np.argsort(-share, kind="stable")[: counts.trending]]
            self.lists.append(SourceList(best, np.linspace(1.0, 0.0, len(best), dtype=np.float32)))

    def at(self, timestamp: int) -> SourceList:
        return self.lists[max(0, int(np.searchsorted(self.moments, timestamp, side="right")) - 1)]


def _newest(rows: NDArray[np.int64], timestamp: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    return np.sort(rows[np.argsort(-timestamp[rows], kind="stable")[:limit]])


def _packed(
    features: FeatureSet,
    user_of: NDArray[np.int64],
    found: list[tuple[int, int, NDArray[np.int32], NDArray[np.float32], int]],
) -> CandidateLists:
    width = max((len(candidates) for _, _, candidates, _, _ in found), default=1)
    items = np.zeros((len(found), width), np.int32)
    context = np.zeros((len(found), width, len(CONTEXT_FEATURES)), np.float32)
    for position, (_, _, candidates, described, _) in enumerate(found):
        items[position, : len(candidates)] = candidates
        context[position, : len(candidates)] = described
    end = np.array([entry[0] for entry in found], np.int64)
    names = features.schema.events
    converting = [names.index(name) + 1 for name in features.schema.conversions]
    return CandidateLists(
        user=user_of[end],
        end=end,
        history=np.array([entry[1] for entry in found], np.int64),
        items=items,
        context=context,
        target=np.array([entry[4] for entry in found], np.int64),
        conversion=np.isin(features.interactions.event[end], converting),
    )
