"""Exports of other recommenders as data sets: read row by row, written in batches."""
