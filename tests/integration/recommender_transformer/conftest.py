"""The transformer with a tiny release, a real Redis and the NumPy models."""

from tests.support.transformer_fixtures import (
    ask_in_turn,
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
    "ask_in_turn",
    "growing_server",
    "models",
    "published",
    "recommend",
    "release",
    "serve_published",
    "serve_tiny",
    "server",
]
