"""The smallest release that the sidecar reads, on a real Redis."""

from tests.support.sidecar_fixtures import client, published, release

__all__ = ["client", "published", "release"]
