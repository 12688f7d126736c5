"""The tensors of every Triton model, in one place: export names them, config.pbtxt declares them, serving sends them.

docs/reference.md describes each of them. A dimension is a number where it never changes; else a letter.
"""

from dataclasses import dataclass
from typing import Literal

BATCH = "B"
"""The dimension that Triton's dynamic batcher joins requests along; always the first."""

CANDIDATES = "N"
"""The candidates of one ranking request."""

FRESH = "F"
"""The fresh items among them. Only these two and the batch are free in a graph: a release fixes the others."""

NEW_ITEM_CAPACITY = 4096
"""New items that a release can take; a serving process makes room for them when it starts."""


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor; ``dtype`` is in the words of the Open Inference Protocol."""

    name: str
    dtype: Literal["FP32", "INT32", "INT64", "UINT8"]
    dims: tuple[str | int, ...]


@dataclass(frozen=True)
class ModelSignature:
    """A Triton model's name and tensors, in the order of its ``forward``."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


_USER = (
    TensorSpec("history_items", "INT32", (BATCH, "L")),
    TensorSpec("history_events", "INT32", (BATCH, "L")),
    TensorSpec("history_gaps", "FP32", (BATCH, "L")),
    TensorSpec("user_categorical", "INT32", (BATCH, "CU")),
    TensorSpec("user_numeric", "FP32", (BATCH, "MU")),
)

RETRIEVER = ModelSignature(
    "retriever",
    inputs=_USER,
    outputs=(
        TensorSpec("candidates", "INT32", (BATCH, "K")),
        TensorSpec("candidate_scores", "FP32", (BATCH, "K")),
        TensorSpec("user_vector", "FP32", (BATCH, "D")),
    ),
)

RANKER = ModelSignature(
    "ranker",
    inputs=(
        *_USER,
        TensorSpec("candidate_items", "INT32", (BATCH, CANDIDATES)),
        TensorSpec("candidate_categorical", "INT32", (BATCH, CANDIDATES, "C")),
        TensorSpec("candidate_numeric", "FP32", (BATCH, CANDIDATES, "M")),
        TensorSpec("fresh_vectors", "FP32", (BATCH, FRESH, "D")),
    ),
    outputs=(
        TensorSpec("probabilities", "FP32", (BATCH, CANDIDATES, 2)),
        TensorSpec("scores", "FP32", (BATCH, CANDIDATES)),
    ),
)

ITEM_TOWER = ModelSignature(
    "item_tower",
    inputs=(
        TensorSpec("item_categorical", "INT32", (BATCH, "C")),
        TensorSpec("item_numeric", "FP32", (BATCH, "M")),
        TensorSpec("embeddings", "FP32", (BATCH, "E")),
    ),
    outputs=(
        TensorSpec("item_vector", "FP32", (BATCH, "D")),
        TensorSpec("candidates", "INT32", (BATCH, "K")),
        TensorSpec("candidate_scores", "FP32", (BATCH, "K")),
    ),
)

IMAGE_ENCODER = ModelSignature(
    "image_encoder",
    inputs=(TensorSpec("pixels", "UINT8", (BATCH, "H", "W", 3)),),
    outputs=(TensorSpec("embedding", "FP32", (BATCH, "D")),),
)

TEXT_ENCODER = ModelSignature(
    "text_encoder",
    inputs=(TensorSpec("tokens", "INT64", (BATCH, "T")),),
    outputs=(TensorSpec("embedding", "FP32", (BATCH, "D")),),
)

AUDIO_ENCODER = ModelSignature(
    "audio_encoder",
    inputs=(TensorSpec("samples", "FP32", (BATCH, "S")),),
    outputs=(TensorSpec("embedding", "FP32", (BATCH, "D")),),
)

SIGNATURES = (RETRIEVER, RANKER, ITEM_TOWER, IMAGE_ENCODER, TEXT_ENCODER, AUDIO_ENCODER)
"""Every model that a release may have; one without pictures, say, has no image encoder."""
