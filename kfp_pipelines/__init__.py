"""The Kubeflow pipelines, and the pipeline of ``winnow build``.

``kfp dsl compile`` compiles ``feature_extraction`` and those of :mod:`kfp_pipelines.lifecycle` for a cluster, and
``python -m kfp_pipelines`` runs ``feature_extraction`` and ``build`` on one machine. The steps are in
:mod:`kfp_pipelines.components`, their parameters in :mod:`kfp_pipelines.parameters`.
"""
