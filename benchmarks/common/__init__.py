"""Modules of several benchmarks: rows, the stack, the load generator, encoders to measure."""
