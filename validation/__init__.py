"""Checks of what a cluster would be told, made where there is no cluster."""
