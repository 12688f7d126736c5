"""The ranker, and the candidate lists it learns from."""
