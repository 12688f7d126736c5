"""A local Kubernetes API server, and the controllers and exporters that run on it."""
