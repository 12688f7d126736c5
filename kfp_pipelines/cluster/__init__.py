"""The Kubernetes API of the cluster that a step runs in."""
