"""Bloom filters over what a user has met."""
