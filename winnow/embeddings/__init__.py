"""A catalog's embeddings: what its encoders have not seen before is encoded, once, and kept by content."""
