"""Faults: killed processes, overload, hostile and slow clients."""
