"""The withheld views of the marketplace, and the candidate lists that the release's sources give at each of them.

A moment is a user's first view of an item after the end of the release's log, early enough for every attribution window
to be over. The history is the user's log up to the view; the tables, the rows and the models are the release's. Moments
whose item no source named are left out, as in serving, where such an item has no probability.
"""

from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.value.subjects import Marketplace
from winnow import home
from winnow.datasets.marketplace.behaviour import VIEW
from winnow.datasets.marketplace.catalog import END
from winnow.ranking.context import SourceList, UserPast, context_features, without_hidden
from winnow.release import Release
from winnow.retrieval.covisitation import covisitation_scores
from winnow.retrieval.history import assemble_many, user_tensors
from winnow.retrieval.item_values import item_values, worth_following

MOST = 15_000
"""Moments at most, at random."""

_BATCH = 16
_SEED = 0
_TIME_BITS = 34
"""Milliseconds of 90 days fit into these bits of a key; the pair of user and item is above them."""


@dataclass(frozen=True)
class Log:
    """The marketplace's whole log in the release's index space, by user, then time.

    Attributes:
        user: int64 [events], rows of ``user_ids``.
        item: int32 [events], item indices; events with items that the release does not have are left out.
        event: int32 [events], event type codes.
        timestamp: int64 [events], ms.
        offsets: int64 [users + 1].
    """

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    event: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, marketplace: Marketplace) -> "Log":
        """The log of a marketplace."""
        log, release = marketplace.world.log, marketplace.release
        item_of = np.zeros(len(marketplace.world.catalog), np.int32)
        item_of[marketplace.rows(release.strings("item_ids")[1:].tolist())] = np.arange(
            1, len(release.strings("item_ids"))
        )
        user_of = np.full(len(marketplace.world.people), -1)
        user_of[marketplace.rows(release.array("user_ids").tolist())] = np.arange(len(release.array("user_ids")))
        item, user = item_of[log.item], user_of[log.user]
        kept = np.flatnonzero((item > 0) & (user >= 0))
        kept = kept[np.lexsort((kept, user[kept]))]
        offsets = np.searchsorted(user[kept], np.arange(len(release.array("user_ids")) + 1))
        return cls(user[kept], item[kept], (log.event[kept] + 1).astype(np.int32), log.timestamp[kept], offsets)

    @property
    def keys(self) -> NDArray[np.int64]:
        """User, item and time of each event in one number, which sorts in this order."""
        pair = self.user * (int(self.item.max()) + 1) + self.item
        keys: NDArray[np.int64] = (pair << _TIME_BITS) | (self.timestamp - self.timestamp.min())
        return keys


@dataclass(frozen=True)
class Moments:
    """The moments with the ranker's answers.

    Attributes:
        withheld: number of moments, those without a list included.
        labels: bool [moments, E], whether an event of the type followed within its window.
        given_view: float32 [moments, E + 1], the probabilities of the viewed item given an interaction: of each type,
            and of any conversion.
        click: float32 [candidates of all moments].
        clicked: bool [candidates of all moments], the viewed item of each.
    """

    withheld: int
    labels: NDArray[np.bool_]
    given_view: NDArray[np.float32]
    click: NDArray[np.float32]
    clicked: NDArray[np.bool_]


def moments(marketplace: Marketplace) -> Moments:
    """Rank the candidates of the withheld moments with the exported models."""
    log, release = Log.of(marketplace), marketplace.release
    rows = _withheld(log, release, marketplace.until)
    labels = following(log, rows, release.schema.event_windows_ms)
    lists = _Lists(release, log)
    given_view, click, clicked, found = [], [], [], []
    for start in range(0, len(rows), _BATCH):
        for row, items, probabilities in lists.ranked(rows[start : start + _BATCH]):
            target = items == log.item[row]
            if target.any():
                found.append(row)
                given_view.append(probabilities[target][0, 1:])
                click.append(probabilities[:, 0])
                clicked.append(target)
    return Moments(
        withheld=len(rows),
        labels=labels[np.isin(rows, found)],
        given_view=np.stack(given_view),
        click=np.concatenate(click),
        clicked=np.concatenate(clicked),
    )


def _withheld(log: Log, release: Release, until: int) -> NDArray[np.int64]:
    """Rows of the log: first views of an item, after ``until`` and before the last attribution window."""
    _, first = np.unique(log.keys >> _TIME_BITS, return_index=True)
    over = END - max(release.schema.event_windows_ms)
    rows = np.sort(first)
    rows = rows[(log.event[rows] == VIEW + 1) & (log.timestamp[rows] >= until) & (log.timestamp[rows] < over)]
    return np.sort(np.random.default_rng(_SEED).permutation(rows)[:MOST])


def following(log: Log, rows: NDArray[np.int64], windows_ms: tuple[int, ...]) -> NDArray[np.bool_]:
    """Bool [rows, E]: whether the user had an event of the type with the item within its window."""
    keys = log.keys
    labels = np.zeros((len(rows), len(windows_ms)), np.bool_)
    for number, window in enumerate(windows_ms):
        of_type = np.append(np.sort(keys[log.event == number + 1]), np.iinfo(np.int64).max)
        labels[:, number] = of_type[np.searchsorted(of_type, keys[rows])] - keys[rows] <= window
    return labels


class _Lists:
    """Candidates of past moments, ranked by the release's exported models."""

    def __init__(self, release: Release, log: Log) -> None:
        self._release, self._log = release, log
        self._rows = np.asarray(release.array("item_rows"))
        self._values = release.schema.value_by_code
        self._sessions = {name: _session(release, name) for name in ("retriever", "ranker")}
        counts = release.manifest.candidates
        popular = np.asarray(release.array("popular"))[: counts["trending"]].astype(np.int32)
        self._trending = SourceList(popular, np.linspace(1.0, 0.0, len(popular), dtype=np.float32))
        self._neighbours = counts["covisitation"]

    def ranked(self, rows: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int32], NDArray[np.float32]]]:
        """Row of the log, candidates and probabilities [candidates, E + 2] of each of the moments ``rows``."""
        log, release = self._log, self._release
        length = release.manifest.history_length
        starts = log.offsets[log.user[rows]]
        history = assemble_many(log.item, log.event, log.timestamp, starts, rows, length)
        user = user_tensors(history, np.asarray(release.array("user_rows"))[log.user[rows]])
        retrieved, scores = self._sessions["retriever"].run(["candidates", "candidate_scores"], user)
        lists = [
            self._candidates(int(begin), int(end), without_hidden(SourceList(*answer)))
            for begin, end, *answer in zip(starts, rows, retrieved, scores, strict=True)
        ]
        width = max(len(items) for items, _ in lists)
        items = np.zeros((len(rows), width), np.int32)
        context = np.zeros((len(rows), width, lists[0][1].shape[1]), np.float32)
        for row, (candidates, described) in enumerate(lists):
            items[row, : len(candidates)], context[row, : len(candidates)] = candidates, described
        columns = self._rows[items]
        [probabilities] = self._sessions["ranker"].run(
            ["probabilities"],
            user
            | {
                "candidate_items": items,
                "candidate_categorical": np.ascontiguousarray(columns["categorical"]),
                "candidate_numeric": np.concatenate([columns["numeric"], context], axis=2),
                "fresh_vectors": np.zeros((len(rows), 1, release.array("item_vectors").shape[1]), np.float32),
            },
        )
        return [
            (int(end), candidates, probabilities[row, : len(candidates)])
            for row, (end, (candidates, _)) in enumerate(zip(rows, lists, strict=True))
        ]

    def _candidates(self, begin: int, end: int, retrieved: SourceList) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        log, release = self._log, self._release
        past = slice(max(begin, end - release.manifest.history_length), end)
        items = log.item[past]
        followed = items[worth_following(item_values(items, log.event[past], self._values))]
        found = covisitation_scores(
            np.asarray(release.array("neighbours")),
            np.asarray(release.array("neighbour_weights")),
            followed[::-1],
            self._neighbours,
        )
        answers = {"retriever": retrieved, "covisitation": SourceList(*found), "trending": self._trending}
        merged = np.unique(np.concatenate([answer.items for answer in answers.values()]))
        merged = merged[(merged > 0) & ~np.isin(merged, log.item[begin:end])].astype(np.int32)
        user_past = UserPast(items, log.timestamp[past], np.zeros(len(merged), np.bool_))
        return merged, context_features(merged, answers, user_past)


def _session(release: Release, name: str) -> onnxruntime.InferenceSession:
    path = home.onnx_model(release.manifest.number, name)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
