"""The two towers of the retriever: one embeds items, the other users by their history.

The user tower is a causal transformer trained to predict the next item at every position (SASRec: Kang and McAuley,
2018; gSASRec: Petrov and Macdonald, 2023). Both towers end on the unit sphere, and a learned temperature scales their
product, which converges several times faster than plain products.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from winnow.features.table import FeatureSet
from winnow.schema import NUMERIC_FEATURES, Feature

GAP_BUCKETS = 32
"""Time gaps fall into buckets that double: below 1 s, 1-3 s, 3-7 s, … up to 68 years."""


class Shapes(BaseModel):
    """Sizes that a feature set fixes, so that a saved model can be rebuilt without it.

    Attributes:
        items: number of items, padding not counted.
        events: number of event types.
        item_cardinalities: one per categorical column of an item row (a feature of width w is w columns).
        item_tables: which embedding table each of those columns reads: columns of one feature share theirs.
        item_numerics: positions of the numeric columns of an item row that do not change with time.
        user_cardinalities: one per categorical column of a user row.
        user_numerics: numeric columns of a user row.
        modalities: modality -> width of its embeddings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: int
    events: int
    item_cardinalities: tuple[int, ...]
    item_tables: tuple[int, ...]
    item_numerics: tuple[int, ...]
    user_cardinalities: tuple[int, ...]
    user_tables: tuple[int, ...]
    user_numerics: int
    modalities: dict[str, int]

    @classmethod
    def of(cls, features: FeatureSet) -> "Shapes":
        """The sizes of ``features``."""
        schema = features.schema
        numerics = [feature.name for feature in schema.item if feature.kind == "numeric"]
        item_cardinalities, item_tables = _columns(schema.item)
        user_cardinalities, user_tables = _columns(schema.user)
        return cls(
            items=features.items,
            events=len(schema.events),
            item_cardinalities=item_cardinalities,
            item_tables=item_tables,
            # A column that changes with time would leak the future into the tower at a past moment.
            item_numerics=tuple(i for i, name in enumerate(numerics) if name not in NUMERIC_FEATURES),
            user_cardinalities=user_cardinalities,
            user_tables=user_tables,
            user_numerics=sum(feature.kind == "numeric" for feature in schema.user),
            modalities={name: array.shape[1] for name, array in sorted(features.embeddings.items())},
        )


def _columns(features: tuple[Feature, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    categorical = [feature for feature in features if feature.kind == "categorical"]
    columns = [(f.cardinality, table) for table, f in enumerate(categorical) for _ in range(f.width)]
    return tuple(cardinality for cardinality, _ in columns), tuple(table for _, table in columns)


class ItemInputs(NamedTuple):
    """The item tower's inputs for k items.

    Attributes:
        categorical: int64 [k, C].
        numeric: float32 [k, len(item_numerics)].
        trained: float32 [k, 1], 1 where the log has an event of the item: only then is its id trained.
        modalities: per modality in alphabetical order, float32 [k, d], zeros where missing.
        present: per modality, bool [k, 1], whether the item has it.
    """

    categorical: Tensor
    numeric: Tensor
    trained: Tensor
    modalities: tuple[Tensor, ...]
    present: tuple[Tensor, ...]


class CatalogInputs:
    """The item tower's inputs for all items, in arrays that may be memory-mapped.

    Args:
        features: the feature set.
        shapes: its sizes.
    """

    def __init__(self, features: FeatureSet, shapes: Shapes) -> None:
        self._rows, self._numerics = features.item_rows, list(shapes.item_numerics)
        self._trained = np.bincount(features.interactions.item, minlength=features.items + 1) > 0
        self._modalities = [features.embeddings[modality] for modality in shapes.modalities]

    def take(self, items: NDArray[np.integer[Any]], device: torch.device | None = None) -> ItemInputs:
        """The inputs of ``items`` (integers [k], 0..n) on a device, the CPU where none is given."""
        rows = self._rows[items]
        modalities = tuple(torch.from_numpy(array[items]).to(device) for array in self._modalities)
        return ItemInputs(
            torch.from_numpy(rows["categorical"].astype(np.int64)).to(device),
            torch.from_numpy(rows["numeric"][:, self._numerics].astype(np.float32)).to(device),
            torch.from_numpy(self._trained[items].astype(np.float32)[:, None]).to(device),
            modalities,
            tuple((array != 0).any(-1, keepdim=True) for array in modalities),
        )


class CodeEmbedding(nn.Module):
    """Sum of the embeddings of a row's codes; code 0 (absent) adds nothing."""

    def __init__(self, cardinalities: tuple[int, ...], tables: tuple[int, ...], dimension: int) -> None:
        super().__init__()
        sizes = dict(zip(tables, cardinalities, strict=True))
        starts = {table: sum(size for other, size in sizes.items() if other < table) for table in sizes}
        self.register_buffer("starts", torch.tensor([starts[table] for table in tables], dtype=torch.int64), False)
        self.starts: Tensor
        self.embedding = nn.Embedding(sum(sizes.values()) + 1, dimension)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, codes: Tensor) -> Tensor:
        """Integers [..., C] to [..., D]."""
        if not len(self.starts):
            return self.embedding.weight.new_zeros((*codes.shape[:-1], self.embedding.embedding_dim))
        vectors: Tensor = self.embedding(codes + self.starts) * (codes > 0).unsqueeze(-1)
        return vectors.sum(-2)


class ItemTower(nn.Module):
    """Id, categories, static numbers and modalities of an item, fused into one unit vector."""

    def __init__(self, shapes: Shapes, dimension: int, id_dropout: float, content_dropout: float) -> None:
        super().__init__()
        self.id_dropout = id_dropout
        self.content_dropout = content_dropout
        self.identity = nn.Embedding(shapes.items + 1, dimension)
        nn.init.normal_(self.identity.weight, std=0.05)
        self.categories = CodeEmbedding(shapes.item_cardinalities, shapes.item_tables, dimension)
        self.numbers = nn.Linear(len(shapes.item_numerics), dimension, bias=False) if shapes.item_numerics else None
        widths = shapes.modalities.values()
        self.projections = nn.ModuleList(nn.Linear(width, dimension) for width in widths)
        self.missing = nn.ParameterList(nn.Parameter(torch.randn(dimension) * 0.02) for _ in widths)

    def forward(self, items: Tensor, inputs: ItemInputs) -> Tensor:
        """Vectors of ``items`` (int64 [k]), whose rows ``inputs`` holds: float32 [k, D], unit length."""
        if self.training:
            inputs = self._dropped(inputs)
        return unit_length(self.identity(items) * inputs.trained + self.content(inputs))

    def content(self, inputs: ItemInputs) -> Tensor:
        """The part of the vectors that does not depend on the ids: float32 [k, D], of any length."""
        fused: Tensor = self.categories(inputs.categorical)
        if self.numbers is not None:
            fused = fused + self.numbers(inputs.numeric)
        layers = zip(inputs.modalities, inputs.present, self.projections, self.missing, strict=True)
        for array, present, projection, missing in layers:
            fused = fused + torch.where(present, projection(array), missing)
        return fused

    def _dropped(self, inputs: ItemInputs) -> ItemInputs:
        """Hide some ids, and treat some items as new: without id, and each part of their content hidden at random.

        An item without content keeps its id: nothing could stand for it.
        """

        def chance(share: float) -> Tensor:
            return torch.rand_like(inputs.trained) < share

        parts = [(inputs.categorical > 0).any(-1, keepdim=True), (inputs.numeric != 0).any(-1, keepdim=True)]
        content = torch.cat([*parts, *inputs.present], dim=-1).any(-1, keepdim=True)
        new = content & chance(self.content_dropout)
        hidden = new | (content & chance(self.id_dropout))
        lost = [new & chance(0.5) for _ in range(2 + len(inputs.present))]
        return inputs._replace(
            categorical=inputs.categorical * ~lost[0],
            numeric=inputs.numeric * ~lost[1],
            trained=inputs.trained * ~hidden,
            present=tuple(present & ~part for present, part in zip(inputs.present, lost[2:], strict=True)),
        )


class Block(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, dimension: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dimension)
        self.query_key_value = nn.Linear(dimension, 3 * dimension)
        self.output = nn.Linear(dimension, dimension)
        self.wide_norm = nn.LayerNorm(dimension)
        self.widen = nn.Linear(dimension, 4 * dimension)
        self.narrow = nn.Linear(4 * dimension, dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor, first: int = 0) -> Tensor:
        """The states [B, L, D] after the layer, from position ``first`` on.

        Args:
            states: float32 [B, L, D].
            mask: bool [B, 1, L, L], true where a query may attend.
            first: the first position to compute; all are attended to.
        """
        batch, length, dimension = states.shape
        mixed = self.query_key_value(self.attention_norm(states))
        mixed = mixed.view(batch, length, 3, self.heads, dimension // self.heads).permute(2, 0, 3, 1, 4)
        queries, states, mask = mixed[0][:, :, first:], states[:, first:], mask[:, :, first:]
        seen = functional.scaled_dot_product_attention(queries, mixed[1], mixed[2], attn_mask=mask)
        seen = seen.transpose(1, 2).reshape(batch, length - first, dimension)
        states = states + self.dropout(self.output(seen))
        added: Tensor = self.dropout(self.narrow(functional.gelu(self.widen(self.wide_norm(states)))))
        return states + added


class UserTower(nn.Module):
    """Causal transformer over a history, joined with static features of the user."""

    def __init__(self, shapes: Shapes, dimension: int, layers: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.item_scale = math.sqrt(dimension)
        self.position = nn.Embedding(length, dimension)
        self.event = nn.Embedding(shapes.events + 1, dimension)
        self.gap = nn.Embedding(GAP_BUCKETS, dimension)
        for table in (self.position, self.event, self.gap):
            nn.init.normal_(table.weight, std=0.02)
        self.traits = CodeEmbedding(shapes.user_cardinalities, shapes.user_tables, dimension)
        self.numbers = nn.Linear(shapes.user_numerics, dimension, bias=False) if shapes.user_numerics else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dimension, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dimension)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.register_buffer("gap_bounds", torch.tensor([2.0**i - 1 for i in range(1, GAP_BUCKETS)]), False)
        self.gap_bounds: Tensor

    def forward(
        self,
        items: Tensor,
        vectors: Tensor,
        events: Tensor,
        gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
        newest: bool = False,
    ) -> Tensor:
        """The user's vector after each event.

        Args:
            items: integers [B, L], only to tell padding; a batch of short histories may be narrower than the model's
                history length.
            vectors: item vectors of the history [B, L, D].
            events: integers [B, L].
            gaps: float32 [B, L], seconds.
            user_categorical: integers [B, CU].
            user_numeric: float32 [B, MU].
            newest: whether only the vector after the newest event is needed, so that the last layer computes no other.

        Returns:
            float32 [B, L, D] of length ``exp(log_scale)``: its product with an item's unit vector is the item's logit;
            [B, 1, D] for ``newest``.
        """
        bucket = (gaps.unsqueeze(-1) >= self.gap_bounds).sum(-1)
        user = self.traits(user_categorical)
        if self.numbers is not None:
            user = user + self.numbers(user_numeric)
        states = vectors * self.item_scale + self.event(events) + self.gap(bucket)
        states = states + self.position.weight[-items.shape[1] :]
        states = self.dropout(states + user.unsqueeze(1))
        length = items.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=items.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=items.device)
        # A padded position attends to itself, so that its softmax is not over an empty set.
        mask = (causal & (items != 0).unsqueeze(1)) | itself
        for block in self.blocks:
            only_newest = newest and block is self.blocks[-1]
            states = block(states, mask.unsqueeze(1), length - 1 if only_newest else 0)
        vectors_after: Tensor = unit_length(self.norm(states)) * self.log_scale.exp()
        return vectors_after


def unit_length(vectors: Tensor) -> Tensor:
    """Vectors [..., D] of length 1; those of length 0 stay."""
    # Not functional.normalize(), whose exported graph computes the shape of the lengths on the CPU.
    unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return unit
