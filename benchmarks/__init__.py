"""Benchmarks: each measures against a target, side by side with something that stays put."""
