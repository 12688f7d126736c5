"""Faults in the manifests, each with the check that reports it and the report."""

from tests.support.cluster.faults import access, kinds, metrics, pods, references, releases

FAULTS = kinds.FAULTS | references.FAULTS | releases.FAULTS | pods.FAULTS | metrics.FAULTS | access.FAULTS
"""Check, change and regular expression of the finding, by description."""
