"""The funnel of one request, made from its trace: stages with their counts and times, and the candidates of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.explorer.ask.words import WORDS

FOUND, REMOVED, RANKED, SHOWN = "found", "removed", "ranked", "shown"
"""Stages that a visitor can open. ``found:NAME`` is a source's candidates, ``removed:NAME`` what a filter removed."""

_STAGES = {
    "query_hydrators": "user and query",
    "sources": "sources",
    "item_hydrators": "item features",
    "filters": "filters",
    "scorers": "ranking",
    "orderers": "re-ordering",
}


@dataclass(frozen=True)
class Part:
    """A source or a filter.

    Attributes:
        name: of the component.
        stage: what opens it.
        count: candidates that it named or removed.
        ms: milliseconds; ``None`` where it has no step of its own.
        degraded: why its fallback was used; empty where it was not.
    """

    name: str
    stage: str
    count: int
    ms: float | None
    degraded: str

    @property
    def words(self) -> str:
        """What the component does; empty for one that is not Winnow's."""
        return WORDS.get(self.stage, "")


@dataclass(frozen=True)
class FunnelStep:
    """A run of a component on the time line.

    Attributes:
        stage: in words.
        component: its name.
        at: milliseconds after the request's arrival.
        ms: duration in milliseconds.
        given: candidates that it received.
        kept: candidates that it returned.
    """

    stage: str
    component: str
    at: float
    ms: float
    given: int
    kept: int


@dataclass(frozen=True)
class Funnel:
    """The funnel of a request.

    Attributes:
        sources: in the order of their counts.
        filters: in the order in which they ran.
        found: distinct candidates.
        passed: candidates that no filter removed.
        ranked: candidates with a score.
        shown: items of the answer.
        moved: items of the answer that re-ordering moved.
        steps: the time line.
        ms: from the arrival to the end of the last step.
        deadline_ms: of the request.
        degraded: what the funnel did without, and why.
    """

    sources: tuple[Part, ...]
    filters: tuple[Part, ...]
    found: int
    passed: int
    ranked: int
    shown: int
    moved: int
    steps: tuple[FunnelStep, ...]
    ms: float
    deadline_ms: int
    degraded: tuple[str, ...]

    @property
    def removed(self) -> int:
        """Candidates that a filter removed."""
        return self.found - self.passed

    @property
    def left_ms(self) -> float:
        """Milliseconds of the deadline that were left; negative where it was missed."""
        return self.deadline_ms - self.ms

    def spent(self, stage: str) -> float:
        """Milliseconds from the first start of a stage's components to their last end."""
        steps = [step for step in self.steps if step.stage == _STAGES.get(stage, stage)]
        return max((step.at + step.ms for step in steps), default=0.0) - min((step.at for step in steps), default=0.0)


def funnel_of(answer: Mapping[str, Any], deadline_ms: int) -> Funnel:
    """The funnel of an answer with a trace.

    Args:
        answer: of the recommender, asked with ``debug``.
        deadline_ms: of the request.
    """
    trace, candidates = answer["trace"], answer["trace"]["candidates"]
    degraded = dict(reason.split(": ", 1) if ": " in reason else (reason, "") for reason in answer["degraded"])
    times: dict[str, float] = {}
    for step in trace["stages"]:
        # The filters run again for items of the backfill.
        times[step["component"]] = times.get(step["component"], 0.0) + step["ms"]
    named = Counter(name for candidate in candidates for name in candidate["sources"])
    sources = dict.fromkeys((*trace["sources"], *named))
    filters = dict.fromkeys(
        (*(step["component"] for step in trace["stages"] if step["stage"] == "filters"), *trace["removed"])
    )
    steps = tuple(
        FunnelStep(
            _STAGES.get(step["stage"], step["stage"]),
            step["component"],
            step["at"],
            step["ms"],
            step["in"],
            step["out"],
        )
        for step in sorted(trace["stages"], key=lambda step: step["at"])
    )

    def parts(names: Mapping[str, None], stage: str, counts: Mapping[str, int]) -> list[Part]:
        return [
            Part(name, f"{stage}:{name}", counts.get(name, 0), times.get(name), degraded.get(name, ""))
            for name in names
        ]

    passed = sum("removed_by" not in candidate for candidate in candidates)
    return Funnel(
        sources=tuple(sorted(parts(sources, FOUND, named), key=lambda part: -part.count)),
        filters=tuple(parts(filters, REMOVED, trace["removed"])),
        found=len(candidates),
        passed=passed,
        ranked=sum("ranked" in candidate for candidate in candidates),
        shown=len(answer["items"]),
        moved=sum(bool(candidate.get("moved")) for candidate in candidates),
        steps=steps,
        ms=max((step.at + step.ms for step in steps), default=0.0),
        deadline_ms=deadline_ms,
        degraded=tuple(answer["degraded"]),
    )


def candidates_of(answer: Mapping[str, Any], stage: str) -> Sequence[Mapping[str, Any]]:
    """The candidates of a stage, best first.

    Args:
        answer: with a trace.
        stage: ``found``, ``removed``, either with ``:NAME``, ``ranked`` or ``shown``; nothing for another one.
    """
    candidates: list[dict[str, Any]] = answer["trace"]["candidates"]
    kind, _, name = stage.partition(":")
    if kind == FOUND:
        found = [each for each in candidates if not name or name in each["sources"]]
        return sorted(found, key=lambda each: -each["sources"][name]) if name else found
    if kind == REMOVED:
        return [each for each in candidates if "removed_by" in each and name in ("", each["removed_by"])]
    if kind == RANKED:
        return sorted((each for each in candidates if "ranked" in each), key=lambda each: each["ranked"])
    if kind == SHOWN:
        return sorted((each for each in candidates if "position" in each), key=lambda each: each["position"])
    return []


def candidate(answer: Mapping[str, Any], item_id: str) -> Mapping[str, Any] | None:
    """A candidate of the trace; ``None`` for an item that was none."""
    found: dict[str, Any] | None = next(
        (each for each in answer["trace"]["candidates"] if each["item_id"] == item_id), None
    )
    return found
