"""Readiness of a stack: it is ready when a recommendation is not degraded.

Parts that report ready may still be unable to reach each other, and the transformer also answers without its models and
without Redis. Only the ``degraded`` field of a recommendation shows that every part took part.
"""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from winnow import protocols
from winnow.errors import WinnowError
from winnow.release import Release

REQUEST_ID = "winnow-up"
"""Request id of these requests: they are logged as impressions like all others."""

_DEADLINE_MS = 10_000
"""The maximum deadline of a request: cold caches and models answer slowly."""

_RETRY_SECONDS = 1.0
"""Longer than the transformer's circuit breaker stays open, so that each answer has the cause of a failure."""


def wait_until_not_degraded(
    release: Release, port: int, host: str, logs: Path, timeout: float, check: Callable[[], None]
) -> None:
    """Request recommendations until one is not degraded.

    Args:
        release: The served release; the requests are for a user with a history, so that every model takes part.
        port: HTTP port of the transformer.
        host: Address of the transformer.
        logs: Folder with the parts' logs, for the message.
        timeout: Time-out of the whole wait, in seconds.
        check: Called before each request; raises when a part has stopped.

    Raises:
        WinnowError: Every recommendation was degraded or failed; the message names the missing parts.
    """
    deadline = time.monotonic() + timeout
    instance: protocols.Instance = {"user_id": _user(release), "k": 10, "deadline_ms": _DEADLINE_MS}
    with protocols.http(port, host) as endpoint:
        endpoint.headers["x-request-id"] = REQUEST_ID
        while True:
            check()
            missing = _missing(endpoint, instance)
            if not missing:
                return
            if time.monotonic() > deadline:
                raise WinnowError(
                    f"the stack runs, but after {timeout:.0f} s its recommendations are still degraded "
                    f"({'; '.join(missing)}): look for the cause in {logs}/recommender_transformer.log and the logs "
                    "beside it, check that REDIS_URL, TRITON_URL and MILVUS_URL, if set, can be reached from this "
                    "machine, and start the stack again"
                )
            time.sleep(_RETRY_SECONDS)


def _missing(endpoint: httpx.Client, instance: protocols.Instance) -> list[str]:
    """The parts missing from one recommendation, each with its reason."""
    try:
        [answer] = protocols.over_http_v1(endpoint, [instance])
    except WinnowError as error:
        return [str(error)]
    return answer["degraded"]


def _user(release: Release) -> str:
    """A user with a history, or a cold-start user where the release has none."""
    active = np.flatnonzero(np.diff(release.array("offsets")))
    return str(release.array("user_ids")[active[0]]) if len(active) else REQUEST_ID
