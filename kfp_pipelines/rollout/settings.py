"""When a canary gets more users, and when it loses them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

BUCKETS = 20
"""Users are in so many buckets (``kserve_manifests/README.md``), so a step is a multiple of 5 %."""

Share = Annotated[int, Field(ge=1, le=100, multiple_of=100 // BUCKETS)]


class RolloutSettings(BaseModel):
    """Steps, times, and how much worse than the stable chain a canary may be.

    Attributes:
        steps: percent of the users that the canary serves, in order. Each step costs at most its users a bad release,
            and doubles to quintuples the evidence for the next.
        interval_s: seconds between two judgements: some scrapes of 15 s, and shorter than the patience of users.
        step_hours: time limit of a step: a canary that is not shown to be as good by then is reverted, because a second
            chain costs as much as the first.
        ready_minutes: time limit until a chain is ready. Building TensorRT's engines alone may take half an hour.
        failures: additional share of failed or refused requests. Half a percent is what users report.
        degraded: additional share of degraded responses, as in the alert ``WinnowCanaryWorse``.
        slower: factor by which the 99th percentile of the latency may grow, as in the same alert.
        fewer_clicks: relative loss of liked events per recommendation. The gate has judged the release offline; this
            bound is for what only users show, such as broken images.
        events_per_user: how many events count as one piece of evidence. A user's events come together, so their counts
            scatter more than independent ones (Kish's design effect).
        confidence_worse: confidence at which a canary is reverted. A rollout makes about a hundred comparisons, of
            which none should revert a good canary.
        confidence_fine: confidence at which a canary gets more users. Lower, because the next step watches it again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    steps: tuple[Share, ...] = Field(default=(5, 25, 50, 100), min_length=1)
    interval_s: float = Field(default=300.0, ge=1, le=86_400)
    step_hours: float = Field(default=24.0, gt=0, le=24 * 14)
    ready_minutes: float = Field(default=60.0, gt=0, le=24 * 60)
    failures: float = Field(default=0.005, gt=0, lt=1)
    degraded: float = Field(default=0.01, gt=0, lt=1)
    slower: float = Field(default=1.3, gt=1, le=10)
    fewer_clicks: float = Field(default=0.1, gt=0, lt=1)
    events_per_user: float = Field(default=3.0, ge=1, le=1000)
    confidence_worse: float = Field(default=0.999, gt=0.5, lt=1)
    confidence_fine: float = Field(default=0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _ascending_to_all(self) -> "RolloutSettings":
        if list(self.steps) != sorted(set(self.steps)) or self.steps[-1] != 100:
            raise ValueError(f"steps must ascend to 100, got {list(self.steps)}")
        return self


class Place(BaseModel):
    """Where the chains are.

    Attributes:
        namespace: of the chains and routes.
        chain: name of the stable chain and of its routes.
        prometheus: address of Prometheus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str = "winnow"
    chain: str = "recommender"
    prometheus: str = "http://prometheus-operated.monitoring.svc:9090"

    @property
    def canary(self) -> str:
        """Name of the canary's chain."""
        return f"{self.chain}-canary"
