"""Drivers of faults: a killed Redis node, generated requests, hostile media."""
