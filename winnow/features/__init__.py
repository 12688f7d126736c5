"""Features: defined once, computed with Ibis, the same for training and for serving."""
