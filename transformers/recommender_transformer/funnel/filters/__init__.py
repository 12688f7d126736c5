"""Filters: which candidates may be shown."""
