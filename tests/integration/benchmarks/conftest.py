"""A transformer for the load generator."""

from tests.support.transformer_fixtures import serve_tiny, server

__all__ = ["serve_tiny", "server"]
