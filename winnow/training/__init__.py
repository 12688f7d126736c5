"""Training of a release's models, and fitting of its sources' tables.

:func:`winnow.training.train.train_models` is the entry point, :mod:`winnow.training.settings` the settings file;
:mod:`winnow.training.encoders` trains the encoders. Every module but the settings may import torch.
"""
