"""The Bloom sidecar: applies the event stream to the users' histories and filters in Redis.

``python -m bloom_sidecar`` runs one member of a release's consumer group. ``consumer`` is its loop, ``group`` the
consumer group, ``apply`` the transaction per user; ``health`` serves ``/health``, ``/ready`` and ``/metrics``.
"""
