"""A release's way to all users of a cluster: a canary chain, its share of the users in steps, and the way back.

It runs as a command (``python -m kfp_pipelines.rollout``) and as the step of a pipeline
(:func:`kfp_pipelines.rollout.controller.roll_out`), and imports nothing else of ``kfp_pipelines``.
"""
