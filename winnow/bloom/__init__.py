"""Bloom filters over the items that a user has seen and the categories that a user has touched.

``seen.SeenFilter`` and ``categories.CategoryFilter`` are serialised to one Redis string each; both are built from
``scalable.ScalableBloomFilter``. ``hashing`` computes the item hashes and ``shadow`` measures the filters' error rate.
Nothing here connects to Redis: :mod:`winnow.store` reads and writes the strings.
"""
