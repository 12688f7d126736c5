"""What is learned and what is ordered: the parts of ``python -m benchmarks objectives``."""
