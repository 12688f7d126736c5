"""Start-up check: the backends must hold the release that this process serves.

These are Redis, Triton or the model repository in its place and, where the release's items are searched there, Milvus.
A mismatch is an error. A backend that does not answer is only logged, because the funnel works without it: a pod must
be able to start while one is down.
"""

import logging
from pathlib import Path

from recommender_transformer.backends.predictor.embedded import check_repository
from recommender_transformer.backends.predictor.triton import check_versions
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.milvus import connection as milvus
from winnow.milvus import publish
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.publish import check_published

log = logging.getLogger(__name__)


def check_backends(release: Release, redis_url: str, predictor: str | Path, milvus_url: str = "") -> None:
    """Compare the release with those in Redis, Triton and Milvus.

    Args:
        release: the release to serve.
        redis_url: URL of Redis.
        predictor: ``host:port`` of Triton's gRPC endpoint, or the model repository that this process computes.
        milvus_url: address of Milvus; empty for a release that is not searched there.

    Raises:
        ReleaseMismatch: one of them holds another release, or Milvus only a part of it; the message names both.
        WinnowError: this process lacks a package to compute the models.
    """
    try:
        with connect(redis_url) as client:
            check_published(client, redis_url, release)
    except ReleaseMismatch:
        raise
    except WinnowError as error:
        log.warning("starting without Redis: %s", error)
    if isinstance(predictor, Path):
        check_repository(release, predictor)
    else:
        try:
            check_versions(predictor, release.manifest.number, tuple(release.manifest.models))
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
