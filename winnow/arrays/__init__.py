"""Forms of arrays on disk that NumPy does not have."""
