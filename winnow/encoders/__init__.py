"""Inputs of the encoders: raw text, pictures and sounds as tensors, the same offline and online, without torch.

The networks are in :mod:`winnow.models.encoders`, their training in :mod:`winnow.training.encoders`.
"""
