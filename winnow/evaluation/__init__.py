"""Offline evaluation and training-serving skew.

``report`` compares the ``lists`` of the served funnel and its retriever with the classic ``baselines`` on ``held_out``
events, for all users and by ``segments`` (`winnow evaluate`). ``skew`` compares logged features with recomputed ones
(`winnow skew`): ``recompute`` computes them from the source and the log, ``comparison`` finds the differences.
"""
