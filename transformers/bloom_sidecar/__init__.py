"""Keeps histories and seen filters true to the event stream."""
