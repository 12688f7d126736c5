"""Strict schemas of Kubernetes' own kinds and of the custom kinds that the manifests use."""
