"""Ranking in NumPy, shared by training and serving: the ranker's context features, and the diversity of a list."""
