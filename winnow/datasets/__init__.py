"""Data sets: read from wherever they are, checked, and kept in canonical columns."""
