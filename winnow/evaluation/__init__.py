"""Offline evaluation and training-serving skew.

``report`` compares the served funnel with its retriever and the classic ``baselines`` on held-out events
(`winnow evaluate`). ``skew`` compares logged features with recomputed ones (`winnow skew`): ``recompute`` computes them
from the source and the log, ``comparison`` finds the differences.
"""
