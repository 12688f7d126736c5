"""Candidate lists for past moments, as the release's own sources would have produced them.

A source that was fitted to a moment has seen its target, so a ranker that learns from that source's list trusts the
source too much. The lists are therefore of withheld moments only, from sources fitted without them: the retriever's
holdout fit, and a co-visitation table of the same rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from winnow.features.table import FeatureSet
from winnow.features.targets import event_values, newest_rows
from winnow.ranking.context import CONTEXT_FEATURES, SourceList, UserPast, context_features
from winnow.retrieval.covisitation import covisitation_scores
from winnow.retrieval.item_values import item_values, worth_following
from winnow.retrieval.repeats import history_scores
from winnow.schema import DAY_MS, HALF_LIVES
from winnow.settings.training import CandidateCounts, ListSettings, TrainingSettings
from winnow.training.loop.devices import device_of
from winnow.training.ranker.past_retrieval import RetrievedMany, retrieve
from winnow.training.retriever.train import RetrieverTraining
from winnow.training.tables.covisitation import covisitation_table

NumericsAt = Callable[[NDArray[np.int32], NDArray[np.int64]], NDArray[np.float32]]
"""Item numerics of ``items[j]`` as they stood just before ``timestamps[j]``: float32 [k, M]."""

_HALF_LIFE_MS = HALF_LIVES["popularity_7d"] * DAY_MS
"""Of the trending list's counts, as in the served list."""


@dataclass(frozen=True)
class CandidateLists:
    """One list per past moment.

    The settings bound the arrays, whatever the size of the log and of the catalog: ``lists.withheld`` the number of
    lists, and ``candidates`` their width.

    Attributes:
        user: int64 [Q].
        end: int64 [Q], the row of the log that happened next; the history is the rows before it.
        history: int64 [Q], events of the history that the models see; 0 for a list made as for a cold-start user.
        items: int32 [Q, N], candidates, padded with 0.
        context: float32 [Q, N, X].
        target: int64 [Q], position among the candidates of the item that the user interacted with next.
        position: int32 [Q, N], place at which a candidate was shown, from 1; 0 where none was logged.
        importance: float32 [Q], weight of the list.
    """

    user: NDArray[np.int64]
    end: NDArray[np.int64]
    history: NDArray[np.int64]
    items: NDArray[np.int32]
    context: NDArray[np.float32]
    target: NDArray[np.int64]
    position: NDArray[np.int32]
    importance: NDArray[np.float32]

    def take(self, chosen: NDArray[np.int64]) -> "CandidateLists":
        """The chosen lists."""
        return CandidateLists(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.user)


def target_lists(features: FeatureSet, rows: NDArray[np.int64], length: int) -> CandidateLists:
    """Lists of one candidate each: the item of each of ``rows`` (int64 [Q]), without the sources' answers.

    Args:
        features: the feature set.
        rows: rows of the log.
        length: ``L``, events of a history.
    """
    log = features.interactions
    user, count = log.user_of(rows), len(rows)
    return CandidateLists(
        user=user,
        end=rows,
        history=np.minimum(length, rows - log.offsets[user]),
        items=log.item[rows][:, None],
        context=np.zeros((count, 1, len(CONTEXT_FEATURES)), np.float32),
        target=np.zeros(count, np.int64),
        position=np.zeros((count, 1), np.int32),
        importance=np.ones(count, np.float32),
    )


def past_lists(
    features: FeatureSet,
    targets: NDArray[np.bool_],
    until: NDArray[np.int64],
    sources: "PastSources",
    settings: ListSettings,
    show_progress: bool,
) -> CandidateLists:
    """Lists for the targets that the holdout fit did not see, and for the first moment of every user.

    A moment whose target no source found is left out: there is no order to learn from its list.

    Args:
        features: the feature set.
        targets: bool [events], :func:`winnow.features.targets.target_rows`.
        until: int64 [users], the row of each user after which events are withheld.
        sources: the sources' answers at past moments.
        settings: which moments.
        show_progress: draw a progress bar.
    """
    log = features.interactions
    row = np.arange(len(log.item))
    known = row > log.offsets[log.user]
    withheld = newest_rows(row[(row >= until[log.user]) & targets & known], log.timestamp, settings.withheld)
    opening = newest_rows(row[~known], log.timestamp, settings.withheld // settings.cold_start_every)
    rows = np.concatenate([withheld, opening])
    retrieved = sources.retrieve(withheld)
    found: list[PastList] = []
    bar = tqdm(total=len(rows), desc="candidate lists", unit="list", disable=not show_progress)
    for position, end in enumerate(rows.tolist()):
        bar.update()
        moment = sources.at(end, retrieved.of(position) if position < len(withheld) else None)
        candidates = moment.candidates()
        hit = np.flatnonzero(candidates == log.item[end])
        if len(hit):
            found.append(PastList(end, candidates, moment, int(hit[0])))
    bar.close()
    return packed(features, found)


class PastSources:
    """The sources' answers at past moments, from tables fitted without the withheld events.

    Args:
        features: the feature set.
        retrieval: the trained retriever with its holdout fit.
        settings: counts, how the co-visitation table is fitted, and the device for the retriever's scores.
    """

    def __init__(self, features: FeatureSet, retrieval: RetrieverTraining, settings: TrainingSettings) -> None:
        log = features.interactions
        withheld = np.sort(log.timestamp[np.arange(len(log.item)) >= retrieval.until[log.user]])
        times = withheld[-settings.lists.withheld :]
        self._features, self._counts, self._model = features, settings.candidates, retrieval.holdout_fit
        self._device = device_of(settings.compute)
        self._length = self._model.settings.history_length
        self._repeats = features.schema.repeats == "allow"
        self._values = features.schema.value_by_code
        self._trending = _Trending(features, times, settings.lists, settings.candidates)
        self._table = covisitation_table(
            log, event_values(log, features.schema), retrieval.until, features.items, settings.covisitation
        )

    def retrieve(self, rows: NDArray[np.int64]) -> RetrievedMany:
        """The retriever's answers just before ``rows`` of the log."""
        users = self._features.interactions.user_of(rows)
        return retrieve(self._model, self._features, users, rows, self._counts.retriever, self._device)

    def at(self, end: int, retrieved: SourceList | None) -> "PastAnswers":
        """The answers just before row ``end`` of the log.

        Args:
            end: a row of the log.
            retrieved: the retriever's answer; ``None`` asks as for a cold-start user, without a history.
        """
        log = self._features.interactions
        begin = int(log.offsets[log.user_of(np.array(end))])
        answers = {"trending": self._trending.at(int(log.timestamp[end]))}
        recent = slice(max(begin, end - self._length), end) if retrieved is not None else slice(end, end)
        seen = log.item[begin:end] if retrieved is not None else log.item[:0]
        if retrieved is not None:
            items = log.item[recent]
            worth = item_values(items, log.event[recent], self._values)
            answers["retriever"] = retrieved
            answers["covisitation"] = SourceList(
                *covisitation_scores(*self._table, items[worth_following(worth)][::-1], self._counts.covisitation)
            )
            if self._repeats:
                answers["history"] = SourceList(*history_scores(items[worth >= 0][::-1], len(items)))
        return PastAnswers(
            answers,
            log.item[recent],
            log.timestamp[recent],
            seen,
            hidden=seen[:0] if self._repeats else seen,
        )


@dataclass(frozen=True)
class PastAnswers:
    """The sources' answers at one moment.

    Attributes:
        answers: source -> its list.
        history: int32 [h], items of the history that the models see, oldest first.
        timestamps: int64 [h].
        seen: int32, items that the user had seen.
        hidden: int32, those of them that are no candidates.
    """

    answers: dict[str, SourceList]
    history: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    seen: NDArray[np.int32]
    hidden: NDArray[np.int32]

    def candidates(self) -> NDArray[np.int32]:
        """All candidates, each once: int32 [N]."""
        merged = np.unique(np.concatenate([answer.items for answer in self.answers.values()]))
        return merged[(merged > 0) & ~np.isin(merged, self.hidden)]

    def context(self, candidates: NDArray[np.int32]) -> NDArray[np.float32]:
        """The context features of candidates, float32 [N, X]."""
        past = UserPast(self.history, self.timestamps, np.isin(candidates, self.seen))
        return context_features(candidates, self.answers, past)


class _Trending:
    """The trending list as it stood at a few moments: items by their faded events of positive value, best first."""

    def __init__(
        self, features: FeatureSet, times: NDArray[np.int64], settings: ListSettings, counts: CandidateCounts
    ) -> None:
        log = features.interactions
        spread = np.linspace(0, len(times) - 1, settings.trending_moments).astype(np.int64)
        self.moments = np.unique(np.sort(times)[spread]) if len(times) else np.array([features.as_of])
        rows = np.flatnonzero(event_values(log, features.schema) > 0)
        item, timestamp = log.item[rows], log.timestamp[rows]
        # An event is added at the first moment after it; the sums fade from moment to moment.
        moment = np.searchsorted(self.moments, timestamp, side="right")
        order = np.argsort(moment, kind="stable")
        parts = np.searchsorted(moment[order], np.arange(len(self.moments) + 1))
        sums = np.zeros(features.items + 1)
        self.lists = []
        for position, now in enumerate(self.moments):
            new = order[parts[position] : parts[position + 1]]
            sums *= _faded(now - self.moments[max(0, position - 1)])
            sums += np.bincount(item[new], _faded(now - timestamp[new]), len(sums))
            best = (np.argsort(-sums[1:], kind="stable")[: counts.trending] + 1).astype(np.int32)
            self.lists.append(SourceList(best, np.linspace(1.0, 0.0, len(best), dtype=np.float32)))

    def at(self, timestamp: int) -> SourceList:
        return self.lists[max(0, int(np.searchsorted(self.moments, timestamp, side="right")) - 1)]


def _faded(age_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    """What remains of an event after some time."""
    faded: NDArray[np.float64] = np.exp2(-age_ms / _HALF_LIFE_MS)
    return faded


class PastList(NamedTuple):
    """A list before it is packed: the row of the log that happened next, the candidates and the target's position.

    Where the list was shown, ``places`` (int32 [N]) are its positions, from 1, and ``importance`` weights it.
    """

    end: int
    candidates: NDArray[np.int32]
    moment: PastAnswers
    target: int
    places: NDArray[np.int32] | None = None
    importance: float = 1.0


def packed(features: FeatureSet, found: Sequence[PastList]) -> CandidateLists:
    """The lists as arrays of one width."""
    width = max((len(one.candidates) for one in found), default=1)
    items = np.zeros((len(found), width), np.int32)
    position = np.zeros_like(items)
    context = np.zeros((len(found), width, len(CONTEXT_FEATURES)), np.float32)
    for row, one in enumerate(found):
        count = len(one.candidates)
        items[row, :count] = one.candidates
        context[row, :count] = one.moment.context(one.candidates)
        if one.places is not None:
            position[row, :count] = one.places
    end = np.array([one.end for one in found], np.int64)
    return CandidateLists(
        user=features.interactions.user_of(end),
        end=end,
        history=np.array([len(one.moment.history) for one in found], np.int64),
        items=items,
        context=context,
        target=np.array([one.target for one in found], np.int64),
        position=position,
        importance=np.array([one.importance for one in found], np.float32),
    )
