"""Item hydrators: the features of the candidates. ``recommender_transformer/pipeline.py`` lists them."""
