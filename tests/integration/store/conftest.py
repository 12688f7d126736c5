"""The smallest release that the sidecar reads, on a real Redis."""

from tests.support.sidecar.fixtures import client, published, release

__all__ = ["client", "published", "release"]
