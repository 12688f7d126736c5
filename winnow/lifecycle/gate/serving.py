"""Serves a release beside the home's stack, and runs replay and load check against it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from winnow.errors import WinnowError
from winnow.lifecycle.gate import load, replay
from winnow.lifecycle.gate.requests import LoggedRequest
from winnow.lifecycle.gate.rules import Gate
from winnow.lifecycle.verdict import Check
from winnow.local.stack import beside
from winnow.local.stack_state import Predictor
from winnow.release import Release


@dataclass(frozen=True)
class Serving:
    """How the expensive checks serve releases; use it in the main thread.

    Attributes:
        requests: the requests to replay, at least one.
        predictor: what computes the models.
        show_progress: show progress bars.
    """

    requests: Sequence[LoggedRequest]
    predictor: Predictor = "triton"
    show_progress: bool = False


def checks(release: Release, live: Release | None, rules: Gate, serving: Serving) -> Iterator[Check]:
    """Serve a release, then the live one, each with a Redis of its own, and check what they answer.

    Args:
        release: the release; it and the live one are in this process's home.
        live: the live release.
        rules: what must hold.
        serving: how to serve, and the requests.

    Raises:
        WinnowError: the live release cannot be served.
    """
    bar = serving.show_progress
    try:
        with _stack(release, serving) as port:
            ours = replay.replay(port, serving.requests, bar)
            offered = load.offer(port, serving.requests, rules.load, bar)
    except WinnowError as error:
        yield Check(name="replay: start", passed=False, message=f"the release cannot be served: {error}")
        return
    theirs = None
    # Afterwards, so that the memory of one stack is enough, and the load does not meet two.
    if live is not None:
        with _stack(live, serving) as port:
            theirs = replay.replay(port, serving.requests, bar)
    yield from replay.checks(serving.requests, ours, theirs, live, rules.replay)
    yield from load.checks(offered, rules.load)


@contextmanager
def _stack(release: Release, serving: Serving) -> Iterator[int]:
    """A running stack; gives its HTTP port."""
    # Every answer is computed: the load check measures the funnel, not the reuse of its answers.
    with beside(release.manifest.number, serving.predictor, reuse_s=0.0, show_progress=serving.show_progress) as ports:
        yield ports.http
