"""Milvus, a vector database, as the index of a release's items: for catalogs beyond one machine (``kind: milvus``).

``connection`` opens clients, ``collection`` describes the collection of a release, and ``publish`` fills it, compares
it with a release and drops it. They import pymilvus where they use it: it is the optional extra ``milvus``.
"""
