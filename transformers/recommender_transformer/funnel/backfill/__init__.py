"""Backfill: items for answers that the sources cannot fill. ``recommender_transformer/pipeline.py`` names it."""
