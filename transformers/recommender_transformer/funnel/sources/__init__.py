"""Sources: where candidates come from. ``recommender_transformer/pipeline.py`` lists them."""
