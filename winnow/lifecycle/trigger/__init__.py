"""The trigger: whether it is time to retrain.

``rules`` is ``trigger.yaml``; ``baseline`` reads the live release; ``decision`` compares it with the events since then,
and ``pause`` keeps triggers from starting one run after the other. docs/retraining.md is its guide.
"""
