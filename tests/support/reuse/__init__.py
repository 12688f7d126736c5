"""What the tests and the benchmark of reuse share."""
