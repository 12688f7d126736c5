"""Winnow: a multistage, multimodal recommender, from a log of events to a served recommendation."""
