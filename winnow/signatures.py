"""The tensors of every Triton model: export names them, ``config.pbtxt`` declares them, serving sends them.

The comment at a tensor says what it holds. A dimension is a number where it never changes, otherwise a letter: ``L``
events of a history, ``C`` categorical codes and ``M`` numbers of an item (``CU`` and ``MU`` of a user), ``E`` the
joined embeddings of an item, ``D`` a vector, ``K`` retrieved items, ``H`` the event types and two more. A tensor of no
columns has width 1 on the wire, zeros.
"""

from dataclasses import dataclass
from typing import Literal

BATCH = "B"
"""The batch dimension, along which Triton's dynamic batcher joins requests; always the first."""

CANDIDATES = "N"
"""The candidates of one ranking request."""

NEW_ITEMS = "F"
"""The new items among them. A graph leaves these two and the batch free; a release fixes all other dimensions."""

NEW_ITEM_CAPACITY = 100_000
"""Maximum of new items per release. A request scans the vectors of those that there are, once for each of two sources:
0.3 ms per scan of 25,000 and 1.6 ms of 100,000. In Redis 100,000 take 64 MB, in each serving process 80 MB."""

NEW_ITEM_LIMIT = 512
"""Maximum of vectors that one request sends to the ranker: of its new items, and of changed items."""

NEW_ITEM_CANDIDATES = 50
"""Maximum of new items among the candidates of one request."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a model; ``dtype`` is a datatype of the Open Inference Protocol."""

    name: str
    dtype: Literal["FP32", "INT32", "INT64", "UINT8"]
    dims: tuple[str | int, ...]


@dataclass(frozen=True)
class ModelSignature:
    """A Triton model: its name, and its tensors in the order of ``forward``."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


_USER = (
    # Item indices, oldest first, left-padded with 0.
    TensorSpec("history_items", "INT32", (BATCH, "L")),
    # Event type codes; 0 is padding.
    TensorSpec("history_events", "INT32", (BATCH, "L")),
    # Seconds since the event before; 0 for the first event and for padding.
    TensorSpec("history_gaps", "FP32", (BATCH, "L")),
    # Columns of the user row.
    TensorSpec("user_categorical", "INT32", (BATCH, "CU")),
    TensorSpec("user_numeric", "FP32", (BATCH, "MU")),
)

RETRIEVER = ModelSignature(
    "retriever",
    inputs=_USER,
    outputs=(
        # Item indices, best first, never 0, and their scores.
        TensorSpec("candidates", "INT32", (BATCH, "K")),
        TensorSpec("candidate_scores", "FP32", (BATCH, "K")),
        TensorSpec("user_vector", "FP32", (BATCH, "D")),
    ),
)

USER_TOWER = ModelSignature(
    "user_tower",
    inputs=_USER,
    outputs=(TensorSpec("user_vector", "FP32", (BATCH, "D")),),
)
"""A part of the retriever, without the search of the items: Milvus or a FAISS index does that."""

RANKER = ModelSignature(
    "ranker",
    inputs=(
        *_USER,
        # Item indices, padded with 0.
        TensorSpec("candidate_items", "INT32", (BATCH, CANDIDATES)),
        # Columns of the item rows; the numbers are followed by the context features of winnow.ranking.context.
        TensorSpec("candidate_categorical", "INT32", (BATCH, CANDIDATES, "C")),
        TensorSpec("candidate_numeric", "FP32", (BATCH, CANDIDATES, "M")),
        # Vectors of the new items among the candidates: index n + 1 + f is row f.
        TensorSpec("fresh_vectors", "FP32", (BATCH, NEW_ITEMS, "D")),
    ),
    outputs=(
        # Of an interaction; given one, of an event of each type; given one, of any conversion. Calibrated.
        TensorSpec("probabilities", "FP32", (BATCH, CANDIDATES, "H")),
        # The order of the candidates; -1e9 for padding.
        TensorSpec("scores", "FP32", (BATCH, CANDIDATES)),
    ),
)

ITEM_TOWER = ModelSignature(
    "item_tower",
    inputs=(
        # Codes as in an item row; 0 is absent.
        TensorSpec("item_categorical", "INT32", (BATCH, "C")),
        # The declared numbers as standard scores.
        TensorSpec("item_numeric", "FP32", (BATCH, "M")),
        # Audio, image and text, joined; zeros for a modality that the item lacks.
        TensorSpec("embeddings", "FP32", (BATCH, "E")),
    ),
    outputs=(
        # Of unit length, in the space of the release's item_vectors.
        TensorSpec("item_vector", "FP32", (BATCH, "D")),
        # Indices of the most similar items by cosine, best first, and the cosines.
        TensorSpec("candidates", "INT32", (BATCH, "K")),
        TensorSpec("candidate_scores", "FP32", (BATCH, "K")),
    ),
)

# The embedding of an encoder has unit length.
IMAGE_ENCODER = ModelSignature(
    "image_encoder",
    # RGB.
    inputs=(TensorSpec("pixels", "UINT8", (BATCH, "H", "W", 3)),),
    outputs=(TensorSpec("embedding", "FP32", (BATCH, "D")),),
)

TEXT_ENCODER = ModelSignature(
    "text_encoder",
    # Ids of the release's tokenizer.json.
    inputs=(TensorSpec("tokens", "INT64", (BATCH, "T")),),
    outputs=(TensorSpec("embedding", "FP32", (BATCH, "D")),),
)

AUDIO_ENCODER = ModelSignature(
    "audio_encoder",
    # One channel, -1 to 1.
    inputs=(TensorSpec("samples", "FP32", (BATCH, "S")),),
    outputs=(TensorSpec("embedding", "FP32", (BATCH, "D")),),
)

SIGNATURES = (RETRIEVER, USER_TOWER, RANKER, ITEM_TOWER, IMAGE_ENCODER, TEXT_ENCODER, AUDIO_ENCODER)
"""All models of a release; one without images, for example, has no image encoder, and only one of the first two."""
