"""What a release stores of its items' content, to change one part of an item and keep the others."""

import numpy as np
from numpy.typing import NDArray

from winnow.encoders.inputs import Modality
from winnow.items.columns import ItemColumns
from winnow.release import Release

EMBEDDINGS = "embeddings_"
"""Array of the embeddings of a modality: float16 [n + 1, E], zeros where the item lacks it."""

IDENTITY = "item_identity"
"""Array float16 [n + 1, D]: what an item's vector has beside its content, relative to the content's length."""


class StoredContent:
    """Rows, vectors, documents and embeddings of the release's items as of its build, memory-mapped.

    Releases that were built before these were stored have no embeddings: an item whose text changes then loses its
    picture's part of the vector, until the next build.

    Args:
        release: the release.
    """

    def __init__(self, release: Release) -> None:
        self._files = release.manifest.files
        self._release = release
        self._columns = ItemColumns.of(release)
        self.rows = np.asarray(release.array("item_rows"))
        self.vectors = np.asarray(release.array("item_vectors"))
        self._identity = self._optional(IDENTITY)
        self._embeddings: dict[Modality, NDArray[np.float16] | None] = {}

    def document(self, index: int) -> dict[str, object]:
        """The item's values in the catalog's columns; empty for a release without columns."""
        document = self._columns.document(index)
        document.pop("item_id", None)
        return document

    def embedding(self, index: int, modality: Modality, width: int) -> NDArray[np.float32]:
        """The embedding of an item's content: float32 [width], zeros where it has none or the release stores none."""
        if modality not in self._embeddings:
            self._embeddings[modality] = self._optional(EMBEDDINGS + modality)
        array = self._embeddings[modality]
        return np.zeros(width, np.float32) if array is None else array[index].astype(np.float32)

    def placed(self, index: int, content: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vector of an item of the release from the vector of its content: what was learned of it stays.

        Args:
            index: index of the item.
            content: float32 [D], unit length, from the item tower, which does not know the item's id.
        """
        if self._identity is None:
            return content
        fused = content + self._identity[index].astype(np.float32)
        placed: NDArray[np.float32] = fused / max(float(np.linalg.norm(fused)), 1e-12)
        return placed

    def _optional(self, name: str) -> NDArray[np.float16] | None:
        return np.asarray(self._release.array(name)) if f"{name}.npy" in self._files else None
