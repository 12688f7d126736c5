"""Scorers: how well the candidates suit the user and the query. ``recommender_transformer/pipeline.py`` lists them."""
