"""The transformer with a tiny release, a real Redis and the NumPy models."""

from tests.support.transformer_fixtures import (
    growing_server,
    models,
    published,
    recommend,
    release,
    serve_published,
    serve_tiny,
    server,
)

__all__ = [
    "growing_server",
    "models",
    "published",
    "recommend",
    "release",
    "serve_published",
    "serve_tiny",
    "server",
]
