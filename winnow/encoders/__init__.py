"""Pictures and words as unit vectors: the encoders, their training on a catalog, and their use on it.

``pixels``, ``tokens`` and ``media`` prepare raw content and import no torch, so that serving can use them. The rest is
offline work.
"""
