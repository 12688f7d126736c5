"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""

SHARED = ROOT.parent / "shared"
"""Real data beside the repository; tests that read it skip where it is absent."""
