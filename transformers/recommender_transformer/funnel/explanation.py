"""The whole story of one request as JSON-ready values, told to who asks with ``debug: true`` and to nobody else."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Filter
from winnow.release import Release
from winnow.schema import Feature

UNKNOWN = "unknown"
"""What has removed a candidate that has no row."""

_NO_ROW = "neither Redis nor this process has a row of it"


class Explainer:
    """Explains what the runner did with a query.

    Args:
        release: whose features are named.
        store: tells how old item rows are.
        filters: tell why they removed what they removed.
        sources: source names, in the order of the candidates' score columns.
    """

    def __init__(self, release: Release, store: OnlineStore, filters: Sequence[Filter], sources: Sequence[str]) -> None:
        self._schema = release.schema
        self._vocabularies = release.vocabularies
        self._store = store
        self._filters = filters
        self._sources = sources

    def explain(self, query: Query, final: Candidates) -> dict[str, Any]:
        """Every candidate with its sources, removal, features, scores and moves; every stage with counts and times.

        Args:
            query: after its last stage.
            final: the candidates of the answer, in order.
        """
        trace = query.trace
        positions = {item: position for position, item in enumerate(final.items.tolist())}
        ranked = _ranked(trace.ranked, positions)
        candidates: list[dict[str, Any]] = []
        for batch in trace.merged:
            removed = self._removed(query, batch)
            told = zip(batch.items.tolist(), batch.scores.tolist(), self._features(batch), strict=True)
            for item, scores, features in told:
                gone = removed.get(item, {})
                candidates.append(
                    {
                        "item_id": self._store.catalog.item_ids[item],
                        "retrieved": len(candidates),
                        "sources": {
                            name: score for name, score in zip(self._sources, scores, strict=True) if score == score
                        },
                        **gone,
                        **({} if gone.get("removed_by") == UNKNOWN else features),
                        **ranked.get(item, {}),
                    }
                )
        return {
            "stages": [
                {
                    "stage": step.stage,
                    "component": step.component,
                    "at": round((step.started - query.started) * 1000, 3),
                    "ms": round(step.ms, 3),
                    "in": step.given,
                    "out": step.kept,
                }
                for step in trace.steps
            ],
            "sources": {step.component: step.kept for step in trace.steps if step.stage == "sources"},
            "removed": {name: sum(map(len, parts)) for name, parts in trace.removed.items()},
            "user": {
                "events": len(query.state.history.items),
                "features": self._named(self._schema.user, "user_", np.array([query.state.row]))[0],
            },
            "candidates": candidates,
        }

    def _removed(self, query: Query, batch: Candidates) -> dict[int, dict[str, str]]:
        """Item -> which component removed it and why."""
        told: dict[int, dict[str, str]] = {}
        reasons = {component.name: component.reasons for component in self._filters}
        for name, parts in query.trace.removed.items():
            gone = batch.take(np.flatnonzero(np.isin(batch.items, np.concatenate(parts))))
            words = reasons[name](query, gone) if name in reasons else [_NO_ROW] * len(gone)
            for item, reason in zip(gone.items.tolist(), words, strict=True):
                told[item] = {"removed_by": name, "reason": reason}
        return told

    def _features(self, batch: Candidates) -> list[dict[str, Any]]:
        """Each candidate's features by name, and seconds since this process read them; null for the release's own."""
        ages = self._store.row_ages(batch.items).tolist()
        named = self._named(self._schema.item, "", batch.rows)
        return [
            {"features": features, "features_age_s": None if math.isnan(age) else round(age, 3)}
            for features, age in zip(named, ages, strict=True)
        ]

    def _named(self, features: Sequence[Feature], prefix: str, rows: NDArray[np.void]) -> list[dict[str, Any]]:
        columns: dict[str, list[Any]] = {}
        codes, numbers = 0, 0
        for feature in features:
            if feature.kind == "numeric":
                columns[feature.name] = rows["numeric"][:, numbers].tolist()
                numbers += 1
                continue
            words = dict(enumerate(self._vocabularies[prefix + feature.name]))
            cells = rows["categorical"][:, codes : codes + feature.width].tolist()
            columns[feature.name] = [_words(cell, words) for cell in cells]
            codes += feature.width
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] or [{}] * len(rows)


def _words(codes: list[int], words: Mapping[int, str]) -> str | list[str | None] | None:
    """A word, null where it is absent; a list of words where there may be several."""
    if len(codes) == 1:
        return words.get(codes[0]) if codes[0] else None
    return [words.get(code) for code in codes if code]


def _ranked(ranked: Candidates | None, positions: Mapping[int, int]) -> dict[int, dict[str, Any]]:
    """Item -> its scores, its place before re-ranking, and its position after, for those that came so far."""
    if ranked is None:
        return {}
    told: dict[int, dict[str, Any]] = {}
    columns = (ranked.items, ranked.score, ranked.probabilities, ranked.propensity)
    for rank, (item, score, chances, propensity) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        click, conversion = (chance if chance == chance else None for chance in chances)
        told[item] = {
            "click": click,
            "conversion": conversion,
            "score": score,
            "propensity": round(propensity, 6),
            "ranked": rank,
        }
        if item in positions:
            told[item] |= {"position": positions[item], "moved": rank - positions[item]}
    return told
