"""The Kubeflow pipelines ``feature-extraction`` and ``retraining``.

``kfp dsl compile`` compiles them for a cluster, and ``python -m kfp_pipelines`` runs the same definitions on one
machine. The steps are in :mod:`kfp_pipelines.components`, their parameters in :mod:`kfp_pipelines.parameters`.
"""
