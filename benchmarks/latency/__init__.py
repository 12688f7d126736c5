"""Latency: requests, events, new items, encoders."""
