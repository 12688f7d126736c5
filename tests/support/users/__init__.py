"""Searches for what must be gone."""
