"""Benchmarks: each figure beside its target, and beside a reference measured in the same run."""
