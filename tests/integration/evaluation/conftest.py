"""A tiny release on a real Redis, and the NumPy models."""

from tests.support.transformer_fixtures import models, published

__all__ = ["models", "published"]
