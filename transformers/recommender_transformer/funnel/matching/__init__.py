"""The filters of requests over the whole catalog: which items match, and the best of them for a vector."""
