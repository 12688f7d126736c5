"""Orderers: which items are shown, and in which order. ``recommender_transformer/pipeline.py`` lists them."""
