"""Rendered manifests, planted faults, ``eks/`` and Terraform."""
