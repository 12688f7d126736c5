"""The items of a release by id: their hashes, and the way from an id to an index."""
