"""Serving at sizes beyond the demo's: millions of items and users."""
