"""Start-up check: Redis and Triton must hold the release that this process serves.

A mismatch is an error. A backend that does not answer is only logged, because the funnel works without it: a pod must
be able to start while Redis or Triton is down.
"""

import logging

from recommender_transformer.backends.triton import check_versions
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.publish import check_published

log = logging.getLogger(__name__)


def check_backends(release: Release, redis_url: str, triton: str) -> None:
    """Compare the release with those in Redis and Triton.

    Args:
        release: the release to serve.
        redis_url: URL of Redis.
        triton: ``host:port`` of Triton's gRPC endpoint.

    Raises:
        ReleaseMismatch: Redis or Triton holds another release; the message names both.
    """
    try:
        with connect(redis_url) as client:
            check_published(client, redis_url, release)
    except ReleaseMismatch:
        raise
    except WinnowError as error:
        log.warning("starting without Redis: %s", error)
    try:
        check_versions(triton, release.manifest.number, tuple(release.manifest.models))
    except ReleaseMismatch:
        raise
    except WinnowError as error:
        log.warning("starting without Triton: %s", error)
