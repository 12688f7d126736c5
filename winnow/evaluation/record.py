"""The evaluation of a release, as the gate and the report read it.

It is written beside the releases, at ``evaluations/N/record.json`` of the home, because a release's own folder never
changes. Every estimate has a 95 % interval, from a bootstrap over the evaluated users; a difference is of the same
users on both sides (Efron and Tibshirani, An Introduction to the Bootstrap, chapters 13 and 16).
"""

from pydantic import BaseModel, ConfigDict

FILE = "record.json"

LIVE = "live"
"""The recommender of a record's metrics that is the live release's funnel."""


class Stored(BaseModel):
    """A part of the record: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Stored):
    """A mean over users, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Group(Stored):
    """Some of the evaluated users.

    Attributes:
        users: their number.
        metrics: recommender -> metric -> estimate.
        differences: recommender -> metric -> the funnel's estimate minus that recommender's, of the same users.
    """

    users: int
    metrics: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]


class Loss(Stored):
    """A stage of the funnel, and the items among the held-out ones that it dropped.

    Attributes:
        stage: its name: ``sources``, a filter, ``ranker`` or ``orderer``.
        reached: held-out items that reached the stage.
        dropped: those that did not leave it; of the last stages, those that are not among the first ten afterwards.
    """

    stage: str
    reached: int
    dropped: int


class Bin(Stored):
    """Predictions of similar size, beside what happened: a point of a calibration plot."""

    predicted: float
    observed: float
    count: int


class EvaluationRecord(Stored):
    """What was measured of a release.

    Attributes:
        release: the evaluated release, which was built without the held-out events.
        live: the live release that it was compared with; ``None`` without one.
        uncompared: why there is no comparison with the live release; empty where there is one.
        objective: the outcomes that count.
        types: their event types.
        split: the split, in words.
        items: items of the catalog.
        overall: all evaluated users; without the live release.
        beside_live: the users whose held-out event is later than the live release's data, which both releases
            therefore do not know; ``None`` without such users.
        segments: dimension (``activity``, ``new users``, a column, ``item's age``, ``category``, ``modality``) ->
            segment -> its users.
        losses: the stages in their order.
        calibration: event type -> bins of ascending predictions.
    """

    release: int
    live: int | None
    uncompared: str
    objective: str
    types: list[str]
    split: str
    items: int
    overall: Group
    beside_live: Group | None
    segments: dict[str, dict[str, Group]]
    losses: list[Loss]
    calibration: dict[str, list[Bin]]
