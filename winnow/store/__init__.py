"""The online store: what a release keeps in Redis, how it gets there and how it is read."""
