"""Features, defined once for training and serving; what reads every event is computed with Ibis.

:func:`winnow.features.extract.extract` makes a :class:`FeatureSet` from a data set.
"""

from winnow.features.table import FeatureSet, ImpressionLog, Interactions

__all__ = ["FeatureSet", "ImpressionLog", "Interactions"]
