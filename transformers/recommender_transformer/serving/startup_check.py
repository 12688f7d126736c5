"""Start-up check: the backends must hold the release that this process serves.

These are Redis, Triton and, where the release's items are searched there, Milvus. A mismatch is an error. A backend
that does not answer is only logged, because the funnel works without it: a pod must be able to start while one is down.
"""

import logging

from recommender_transformer.backends.triton import check_versions
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.milvus import connection as milvus
from winnow.milvus import publish
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.publish import check_published

log = logging.getLogger(__name__)


def check_backends(release: Release, redis_url: str, triton: str, milvus_url: str = "") -> None:
    """Compare the release with those in Redis, Triton and Milvus.

    Args:
        release: the release to serve.
        redis_url: URL of Redis.
        triton: ``host:port`` of Triton's gRPC endpoint.
        milvus_url: address of Milvus; empty for a release that is not searched there.

    Raises:
        ReleaseMismatch: one of them holds another release, or Milvus only a part of it; the message names both.
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
    if not milvus_url:
        return
    try:
        with milvus.connect(milvus_url) as client:
            publish.check_published(client, milvus_url, release)
    except ReleaseMismatch:
        raise
    except WinnowError as error:
        log.warning("starting without Milvus: %s", error)
