"""The pipelines of a release's life on a cluster: ``retraining``, ``promotion`` and ``rollback``."""
