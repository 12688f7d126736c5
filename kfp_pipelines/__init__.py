"""Kubeflow pipelines: the same definitions compile for the cluster and run on one machine."""
