"""Start-up: do the parts belong to one release?

What is wrong is refused; what is merely away is waited for a little and then done without, because the funnel can:
a pod must be able to start while Redis or Triton is down.
"""

import logging

from recommender_transformer.backends.triton import check_versions
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.publish import check_published

log = logging.getLogger(__name__)


def check(release: Release, redis_url: str, triton: str) -> None:
    """Compare the release folder with Redis and Triton.

    Raises:
        ReleaseMismatch: one of them holds another release; the message names both sides.
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
        log.warning("starting without models: %s", error)
