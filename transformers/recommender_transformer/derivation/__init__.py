"""Derives what a release serves of a changed item (row, vector, document) from the changes of the catalog.

``stored_content`` is what the release knows of its items' content, ``embeddings`` embeds new content, ``derive``
computes one item, ``apply`` stores changes with what is derived from them, and ``follow`` derives every change that no
call of this release has derived.
"""
