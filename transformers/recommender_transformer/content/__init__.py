"""Content of queries and new items: decoding for the encoders, and lookup of similar items by embedding."""
