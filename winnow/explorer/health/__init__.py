"""``/health``: how the stack does, from the metrics of its own processes, without Prometheus."""
