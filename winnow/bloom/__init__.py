"""Bloom filters over the items and categories that a user has seen, without Redis."""
