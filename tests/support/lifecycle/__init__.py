"""Homes with several releases, for tests of what happens to releases after their build."""
