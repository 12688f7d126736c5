"""Query hydrators: what is known about the user. ``recommender_transformer/pipeline.py`` lists them."""
