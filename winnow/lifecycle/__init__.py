"""The life of a release in its home: claimed, transferred, judged, made live, collected.

A home is a folder or an ``s3://`` address that holds ``releases/N``, ``model_repository/N`` and ``evaluations/N``.
"""
