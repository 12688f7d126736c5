"""Renders the trace of one request as JSON-ready values, for requests with ``debug: true``."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.business.explained_rules import explained_rules, rules_by_item
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.forms.asked import Asked
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Filter
from winnow.ranking.objectives import CLICK, CONVERSION, TYPES, terms
from winnow.release import Release
from winnow.schema import Feature

UNKNOWN = "unknown"
"""The ``removed_by`` of candidates without a row."""

_NO_ROW = "no row in Redis or in this process"


class Explainer:
    """Renders traces.

    Args:
        release: gives the names and vocabularies of the features.
        store: gives the ages of item rows.
    """

    def __init__(self, release: Release, store: OnlineStore) -> None:
        self._schema = release.schema
        self._vocabularies = release.vocabularies
        self._store = store

    def explain(
        self, query: Query, shown: Candidates, filters: Sequence[Filter], sources: Sequence[str]
    ) -> dict[str, Any]:
        """Each candidate with its sources, removal, features, scores and ranks; each stage with counts and times.

        Args:
            query: the query after its last stage.
            shown: the candidates of the answer, in order.
            filters: give the reasons of their removals.
            sources: names of the columns of ``Candidates.scores``.
        """
        trace = query.trace
        positions = {item: position for position, item in enumerate(shown.items.tolist(), query.page.first)}
        ranked = {} if trace.ranked is None else self._ranked(query, trace.ranked, positions)
        by_rules = rules_by_item(query.rules)
        candidates: list[dict[str, Any]] = []
        for batch in trace.merged:
            removed = removals(query, batch, filters)
            rows = zip(batch.items.tolist(), batch.scores.tolist(), self._features(batch), strict=True)
            for item, scores, features in rows:
                removal = removed.get(item, {})
                candidates.append(
                    {
                        "item_id": self._store.catalog.item_id(item),
                        "retrieved": len(candidates),
                        "sources": {name: score for name, score in zip(sources, scores, strict=True) if score == score},
                        **removal,
                        **({} if removal.get("removed_by") == UNKNOWN else features),
                        **ranked.get(item, {}),
                        **by_rules.get(item, {}),
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
                "events": len(query.user.state.history.items),
                "features": self._named(self._schema.user, "user_", np.array([query.user.state.row]))[0],
            },
            "objectives": dict(zip(self._schema.events, query.weights.tolist(), strict=True)),
            "repeats": query.repeats,
            "rules": explained_rules(query.rules, self._store.catalog, query.request.k, trace.removed),
            "exploration": query.exploration._asdict(),
            **_asked(query.asked),
            "candidates": candidates,
        }

    def _ranked(self, query: Query, ranked: Candidates, positions: Mapping[int, int]) -> dict[int, dict[str, Any]]:
        """Item index -> scores, rank before the orderers and, if shown, position after them; for scored candidates."""
        types = self._schema.events
        columns: dict[str, NDArray[Any]] = {
            "click": ranked.probabilities[:, CLICK],
            "conversion": ranked.probabilities[:, CONVERSION],
            "types": ranked.probabilities[:, TYPES : TYPES + len(types)],
            "terms": terms(ranked.probabilities, query.weights),
            "value": ranked.value,
        }
        entries: dict[int, dict[str, Any]] = {}
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        scored = zip(ranked.items.tolist(), ranked.score.tolist(), ranked.propensity.tolist(), rows, strict=True)
        for rank, (item, score, propensity, row) in enumerate(scored):
            entries[item] = {
                **{name: _named_or_none(cell, types) for name, cell in zip(columns, row, strict=True)},
                "score": score,
                "propensity": round(propensity, 6),
                "ranked": rank,
            }
            if item in positions:
                entries[item] |= {"position": positions[item], "moved": rank + query.page.first - positions[item]}
        return entries

    def _features(self, batch: Candidates) -> list[dict[str, Any]]:
        """Each candidate's features by name, and the age of its row in seconds; null for the rows of the release."""
        ages = self._store.row_ages(batch.items).tolist()
        named = self._named(self._schema.item, "", batch.rows)
        return [
            {"features": features, "features_age_s": None if math.isnan(age) else round(age, 3)}
            for features, age in zip(named, ages, strict=True)
        ]

    def _named(self, features: Sequence[Feature], prefix: str, rows: NDArray[np.void]) -> list[dict[str, Any]]:
        columns: dict[str, list[Any]] = {}
        category, number = 0, 0
        for feature in features:
            if feature.kind == "numeric":
                columns[feature.name] = rows["numeric"][:, number].tolist()
                number += 1
                continue
            vocabulary = dict(enumerate(self._vocabularies[prefix + feature.name]))
            cells = rows["categorical"][:, category : category + feature.width].tolist()
            columns[feature.name] = [_values(cell, vocabulary) for cell in cells]
            category += feature.width
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] or [{}] * len(rows)


def _asked(asked: Asked) -> dict[str, Any]:
    """The form, and what of a session or of a caller's own list could not be used."""
    if asked.form == "plain":
        return {}
    session = {} if asked.session is None else {"session": {"events": len(asked.session)}}
    return {"form": asked.form, "funnel": asked.funnel, **session, "unknown_items": list(asked.unknown)}


def removals(query: Query, batch: Candidates, filters: Sequence[Filter]) -> dict[int, dict[str, str]]:
    """Item index -> the component that removed it, and why."""
    found: dict[int, dict[str, str]] = {}
    reasons = {component.name: component.reasons for component in filters}
    for name, parts in query.trace.removed.items():
        removed = batch.take(np.flatnonzero(np.isin(batch.items, np.concatenate(parts))))
        texts = reasons[name](query, removed) if name in reasons else [_NO_ROW] * len(removed)
        for item, reason in zip(removed.items.tolist(), texts, strict=True):
            found[item] = {"removed_by": name, "reason": reason}
    return found


def _values(codes: list[int], vocabulary: Mapping[int, str]) -> str | list[str | None] | None:
    """The value of a single-valued feature (`None` if missing), or the list of a multi-valued one."""
    if len(codes) == 1:
        return vocabulary.get(codes[0]) if codes[0] else None
    return [vocabulary.get(code) for code in codes if code]


def _named_or_none(cell: float | list[float], types: Sequence[str]) -> float | dict[str, float] | None:
    """A number, or numbers by event type; `None` if the ranker has not answered."""
    if isinstance(cell, list):
        return None if math.isnan(cell[0]) else dict(zip(types, cell, strict=True))
    return None if math.isnan(cell) else cell
