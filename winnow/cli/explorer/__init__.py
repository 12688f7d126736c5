"""``winnow explorer``."""
