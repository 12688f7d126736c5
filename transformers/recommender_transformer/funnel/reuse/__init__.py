"""Reuse of answers while nothing that they were computed from has changed."""
