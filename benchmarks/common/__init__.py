"""What several benchmarks share: rows, the stack, the load generator, encoders to measure."""
