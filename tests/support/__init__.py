"""What tests and benchmarks share: real servers, tiny releases, drivers of faults. Benchmarks keep the figures."""
