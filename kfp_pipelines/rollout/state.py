"""The state of a rollout: an annotation of the HTTPRoute, written in one request with the rules that it stands for."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kfp_pipelines.rollout.objects import Object
from winnow.errors import WinnowError

STATE, LAST, STOP = "winnow/rollout", "winnow/rollout-last", "winnow/rollout-stop"
"""Annotations: the rollout that is under way, the one before it, and why an operator stops it."""

Phase = Literal["preparing", "serving", "promoting", "restoring", "returning"]
"""In order: the canary chain starts; it serves a share of the users; the stable chain gets the release; the stable
chain gets its previous release back; the users return to the stable chain, and then the canary chain is deleted."""


class State(BaseModel):
    """What a rollout has reached.

    Attributes:
        release: that is rolled out.
        previous: the stable chain's release before it.
        phase: what it does.
        share: percent of the users that the canary serves.
        since: start of the phase, or of the step.
        before: start of the step before; ``None`` in the first.
        reason: why the canary is reverted; empty where it is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: int
    previous: int
    phase: Phase
    share: int
    since: datetime
    before: datetime | None = None
    reason: str = ""

    def then(self, phase: Phase, share: int, reason: str = "") -> "State":
        """The state that begins now."""
        now = datetime.now(UTC)
        changes = {"phase": phase, "share": share, "since": now, "before": self.since, "reason": reason or self.reason}
        return self.model_copy(update=changes)

    def seconds(self) -> float:
        """For how long it has lasted."""
        return (datetime.now(UTC) - self.since).total_seconds()


def state_of(route: Object) -> State | None:
    """The state that a route is annotated with; ``None`` without a rollout.

    Raises:
        WinnowError: the annotation is not a state.
    """
    given = annotations(route).get(STATE)
    if given is None:
        return None
    try:
        return State.model_validate_json(given)
    except ValidationError as error:
        raise WinnowError(
            f"HTTPRoute {route['metadata']['name']}: annotation {STATE} is not a state of a rollout: {given[:80]}. "
            "Remove it, and the chain of the canary (kserve_manifests/README.md)."
        ) from error


def annotations(route: Object) -> dict[str, str]:
    """A route's annotations."""
    found: dict[str, str] = route["metadata"].get("annotations") or {}
    return found
