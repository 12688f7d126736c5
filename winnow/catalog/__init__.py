"""Changes of the catalog between builds: one stream in Redis that outlives releases.

``change`` is a change and what the changes of an item add up to, ``append`` writes changes and reads what they add up
to, and ``prune`` forgets those that every release has read. Every release derives rows and vectors from it;
``winnow events export`` writes it to files, from which the next build applies it
(:mod:`winnow.datasets.catalog_changes`).
"""
