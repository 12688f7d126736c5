"""Checks the cluster's manifests, charts and Terraform on a machine that has no cluster."""
