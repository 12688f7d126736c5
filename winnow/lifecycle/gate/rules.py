"""``gate.yaml``: what must hold of a release before it may become live; docs/gate.md gives each default's reason."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from winnow.settings.rules import Number, Positive, Section, Share

Decision = Literal["pass", "refuse"]


class ValueThreshold(Section):
    """Bounds on a metric of the funnel; the whole 95 % interval must lie within them.

    Attributes:
        lower: the least value.
        upper: the largest value.
    """

    lower: Number | None = None
    upper: Number | None = None

    @model_validator(mode="after")
    def _bounds(self) -> "ValueThreshold":
        if self.lower is None and self.upper is None:
            raise ValueError("give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower is {self.lower:g} and upper {self.upper:g}: nothing lies between them")
        return self


class ChangeThreshold(Section):
    """By how much a metric may be worse than the live release's; of two margins, the smaller one counts.

    Attributes:
        relative: margin as a share of the live release's value.
        absolute: margin in the metric's own unit.
        better: which direction is better.
    """

    relative: Positive | None = None
    absolute: Positive | None = None
    better: Literal["higher", "lower"] = "higher"

    @model_validator(mode="after")
    def _margin(self) -> "ChangeThreshold":
        if self.relative is None and self.absolute is None:
            raise ValueError("give relative, absolute or both")
        return self


class MetricRules(Section):
    """Quality, on held-out events.

    Attributes:
        values: metric -> bounds of the funnel's value.
        changes: metric -> margin beside the live release.
        beaten: baseline -> the metric by which the funnel must beat it.
        too_few_users: what follows where the users are too few to decide.
    """

    values: dict[str, ValueThreshold] = Field(default={})
    changes: dict[str, ChangeThreshold] = Field(
        default={
            "ndcg@10": ChangeThreshold(relative=0.05),
            "recall@50": ChangeThreshold(relative=0.05),
        }
    )
    beaten: dict[str, str] = Field(default={"popularity": "ndcg@10"})
    too_few_users: Decision = "pass"


class ParityRules(Section):
    """Distance of the exported models from PyTorch's, as the build measured it.

    Attributes:
        scores: largest absolute difference of a score.
        encoders: largest distance of an embedding, as one minus the cosine.
    """

    scores: Positive = 0.001
    encoders: Positive = 0.001


class DataRules(Section):
    """The data of the release beside the live release's.

    Attributes:
        smallest_volume: least number of items, users, events and events of each type, as a share of the live release's.
        largest_volume: largest number of them, as a multiple of the live release's.
        newest_event_hours: largest age of the newest event when the release was built; without it, the newest event
            only must not be older than the live release's.
        missing_rise: largest rise of the share of missing values of a column.
        share_change: largest change of the share of a category of a column, or of an event type.
        number_change: largest distance between the distributions of a numeric column, as a share of its values.
        modality_loss: largest fall of the share of items with an embedding of a modality.
    """

    smallest_volume: Share = 0.8
    largest_volume: Annotated[Number, Field(ge=1)] = 1.8
    newest_event_hours: Positive | None = None
    missing_rise: Share = 0.05
    share_change: Share = 0.2
    number_change: Share = 0.2
    modality_loss: Share = 0.05


class SchemaRules(Section):
    """The feature schema and event types beside the live release's.

    Attributes:
        change: what follows from a change.
    """

    change: Decision = "refuse"


class ReplayRules(Section):
    """Logged requests, answered by the release and by the live one.

    Attributes:
        requests: number of requests, the newest.
        smallest_overlap: least mean share of a list that is in both releases' lists.
    """

    requests: Annotated[int, Field(ge=1, le=100_000)] = 200
    smallest_overlap: Share = 0.1


class LoadRules(Section):
    """Requests at a constant rate, sent when they are due, whether or not earlier ones were answered.

    Attributes:
        per_second: rate of the requests.
        seconds: duration.
        p99_ms: largest 99th percentile of the time from due to answered.
        degraded: largest share of degraded answers.
    """

    per_second: Annotated[Number, Field(gt=0, le=1000)] = 20.0
    seconds: Annotated[Number, Field(ge=1, le=600)] = 15.0
    p99_ms: Positive = 200.0
    degraded: Share = 0.01


class Gate(Section):
    """All rules; a section or field that the file leaves out keeps its default."""

    metrics: MetricRules = MetricRules()
    parity: ParityRules = ParityRules()
    data: DataRules = DataRules()
    # BaseModel has a method of the name `schema`.
    feature_schema: SchemaRules = SchemaRules()
    replay: ReplayRules = ReplayRules()
    load: LoadRules = LoadRules()
