"""The one-machine stack: Redis, Triton, sidecar and transformer as supervised processes."""
