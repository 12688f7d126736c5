"""Orderers: which items are shown, and in which order."""
