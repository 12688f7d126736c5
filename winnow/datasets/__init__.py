"""Data sets in canonical columns, and the readers, the validation and the demo marketplace that they come from.

:func:`winnow.datasets.ingest.ingest` reads a source of any kind.
"""

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns

__all__ = ["Dataset", "DatasetSpec", "DeclaredColumns"]
