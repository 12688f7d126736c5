"""Homes with several releases, made from one that was built."""
