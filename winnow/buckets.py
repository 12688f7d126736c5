"""Which of twenty buckets a user is in: what a canary's route decides by (``kserve_manifests/overlays/canary``)."""

import hashlib

BUCKETS = 20
"""A canary grows in steps of 5 % of the users."""

HEADER = "x-winnow-bucket"
"""The header that a caller of the cluster's endpoint sets, so that a user's requests are all served by one side."""


def bucket_of(user_id: str) -> int:
    """The user's bucket: the same in every process, every language and every year."""
    digest = hashlib.sha256(user_id.encode()).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS
