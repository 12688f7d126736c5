"""``winnow users``."""
