"""Whether a stack serves: once a recommendation has come back whole, and not before.

Servers that say they are ready may still not reach one another, and the transformer answers without its models and
without Redis too, only worse. ``degraded`` of a real answer tells.
"""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from winnow import client
from winnow.errors import WinnowError
from winnow.release import Release

REQUEST_ID = "winnow-up"
"""Of the requests asked here, which are logged as impressions like any other."""

_DEADLINE_MS = 10_000
"""The longest that a request may have: what is cold is slow, but not away."""

_AGAIN_SECONDS = 1.0
"""Longer than the transformer spares a part that keeps failing, so that each answer tells why it failed."""


def wait_until_not_degraded(
    release: Release, port: int, host: str, logs: Path, timeout: float, check: Callable[[], None]
) -> None:
    """Ask for recommendations until one is not degraded.

    Args:
        release: What is served; one of its users who have a history is asked for, so that every model takes part.
        port: The transformer's HTTP.
        host: Where it is reached.
        logs: Folder with the parts' logs.
        timeout: Seconds.
        check: Raises when a part has stopped; called before each request.

    Raises:
        WinnowError: Every answer was degraded, or there was none; the message names the missing parts.
    """
    deadline = time.monotonic() + timeout
    instance: client.Instance = {"user_id": _user(release), "k": 10, "deadline_ms": _DEADLINE_MS}
    with client.http(port, host) as endpoint:
        endpoint.headers["x-request-id"] = REQUEST_ID
        while True:
            check()
            missing = _missing(endpoint, instance)
            if not missing:
                return
            if time.monotonic() > deadline:
                raise WinnowError(
                    f"the stack runs, but after {timeout:.0f} s it still answers without some of its parts "
                    f"({'; '.join(missing)}): look for the reason in {logs}/recommender_transformer.log and the logs "
                    "beside it, make sure that REDIS_URL and TRITON_URL, where they are set, can be reached from "
                    "here, and start it again"
                )
            time.sleep(_AGAIN_SECONDS)


def _missing(endpoint: httpx.Client, instance: client.Instance) -> list[str]:
    """What one answer did without, each part with its reason."""
    try:
        [answer] = client.over_http_v1(endpoint, [instance])
    except WinnowError as error:
        return [str(error)]
    return answer["degraded"]


def _user(release: Release) -> str:
    """A user with a history; of a release that knows none, nobody in particular."""
    known = np.flatnonzero(np.diff(release.array("offsets")))
    return str(release.array("user_ids")[known[0]]) if len(known) else REQUEST_ID
