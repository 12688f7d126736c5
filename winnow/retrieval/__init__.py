"""Retrieval in NumPy, shared by training and serving: histories as tensors, and the co-visitation source."""
