"""Embeddings of a catalog: each content is encoded once and stored under its digest."""
