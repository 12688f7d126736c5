"""The arrays with which serving changes one part of an item and keeps the others (``derivation/stored_content.py``)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.features.table import FeatureSet
from winnow.models.towers import CatalogInputs
from winnow.training.retriever.trained import TrainedRetriever

_AT_ONCE = 8192
_LEAST = 1e-6
"""Length of content below which an item has none."""


@torch.inference_mode()
def content_arrays(features: FeatureSet, retriever: TrainedRetriever) -> dict[str, NDArray[Any]]:
    """``embeddings_MODALITY``, the items' embeddings, and ``item_identity``, both as float16.

    An item's vector is the sum of what was learned for its id and what its content gives, cut to unit length. The
    served item tower knows no ids, and its vectors have unit length; ``item_identity`` is the part of the id divided
    by the length of the content, so that the sum of both has the direction of the item's vector.
    """
    arrays: dict[str, NDArray[Any]] = {
        f"embeddings_{modality}": embeddings.astype(np.float16) for modality, embeddings in features.embeddings.items()
    }
    tower, inputs = retriever.item_tower, CatalogInputs(features, retriever.shapes)
    identity = np.zeros((features.items + 1, retriever.item_vectors.shape[1]), np.float16)
    for start in range(1, features.items + 1, _AT_ONCE):
        items = np.arange(start, min(start + _AT_ONCE, features.items + 1))
        taken = inputs.take(items)
        length = tower.content(taken).norm(dim=-1, keepdim=True)
        length = torch.where(length < _LEAST, torch.ones_like(length), length)
        part: Tensor = tower.identity(torch.from_numpy(items)) * taken.trained / length
        largest = float(np.finfo(np.float16).max)
        identity[items] = part.clamp(-largest, largest).numpy().astype(np.float16)
    arrays["item_identity"] = identity
    return arrays
