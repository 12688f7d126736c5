"""Backends of the funnel: models in Triton or here, users and items in Redis, and item rows cached in this process."""
