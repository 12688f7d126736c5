"""``winnow recommend --all``."""
