"""What a release would have earned per logged request, or why the log does not say."""

from typing import NamedTuple

from winnow.errors import WinnowError
from winnow.evaluation.off_policy import feedback
from winnow.evaluation.off_policy.estimators import estimators, on_policy
from winnow.evaluation.off_policy.intervals import Interval, interval
from winnow.evaluation.off_policy.log import Log, Policy, weights
from winnow.evaluation.off_policy.replay import replay
from winnow.evaluation.off_policy.support import Support, support
from winnow.local.stack_state import Predictor
from winnow.release import Release


class OffPolicy(NamedTuple):
    """The result of an off-policy evaluation.

    Attributes:
        requests: number of logged requests.
        users: number of their users.
        logged: what the logged lists earned per request.
        estimates: estimator -> what the policy would have earned per request; empty where ``support`` refuses.
        support: how much the log says about the policy.
    """

    requests: int
    users: int
    logged: Interval
    estimates: dict[str, Interval]
    support: Support


def evaluate(log: Log, policy: Policy) -> OffPolicy:
    """Estimate a policy's value from a log, unless its support there is too thin.

    Raises:
        WinnowError: the log is empty, or a propensity is no probability.
    """
    log.check()
    weighted = weights(log, policy)
    found = support(log, policy, weighted)
    estimates = {} if found.refusals else estimators(log, policy, weighted)
    return OffPolicy(
        log.requests,
        len(set(log.user.tolist())),
        interval(on_policy(log)),
        {name: interval(ratio) for name, ratio in estimates.items()},
        found,
    )


def evaluate_release(
    release: Release, folder: str, objective: str, predictor: Predictor, show_progress: bool
) -> tuple[OffPolicy, list[str]]:
    """Estimate what a release would have earned on the exported requests that are later than its data.

    Args:
        release: the release to evaluate.
        folder: where `winnow events export` wrote, local or ``s3://``.
        objective: the event types whose values are the reward; see :func:`winnow.evaluation.held_out.types_of`.
        predictor: what computes the release's models.
        show_progress: show progress bars.

    Returns:
        The result, and in words what was left out of the log.

    Raises:
        WinnowError: the log has no such request, or the release cannot be served.
    """
    read = feedback.read(folder, release, objective)
    if (read.log.propensity == 1.0).all():
        raise WinnowError(
            f"{folder}: every propensity is 1, because the lists were not explored: nothing can be concluded about "
            "other lists; serve with `winnow up --explore 0.05` (the transformer's `--explore`) and export again"
        )
    return evaluate(read.log, replay(release, read, predictor, show_progress)), read.notes
