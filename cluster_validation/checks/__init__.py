"""Checks of one rendered overlay: references between its objects, KServe's traps, routes, releases, GPUs, feedback."""
