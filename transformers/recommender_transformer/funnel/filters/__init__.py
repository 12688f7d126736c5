"""Filters: which candidates may be shown. ``recommender_transformer/pipeline.py`` lists them."""
