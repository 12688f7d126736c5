"""Drivers of faults: killed processes, generated requests, hostile media."""
