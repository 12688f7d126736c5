"""A transformer for the load generator."""

from collections.abc import Iterator

import pytest

from tests.support.transformer_fixtures import serve_tiny
from tests.support.transformer_server import Server, serving

__all__ = ["serve_tiny"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Server]:
    """Release 6020, served."""
    with serving(tmp_path_factory.mktemp("served"), 6020, redis_url) as running:
        yield running
