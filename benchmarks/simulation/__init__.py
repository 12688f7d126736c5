"""Autoscaling, simulated from the manifests."""
