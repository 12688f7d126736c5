"""Training of a release's models, and fitting of its sources' tables.

:func:`winnow.training.train.train_models` is the entry point, :mod:`winnow.settings.training` its settings file;
:mod:`winnow.training.encoders` trains the encoders.
"""
