"""Side effects: what happens after an answer. ``recommender_transformer/pipeline.py`` lists them."""
