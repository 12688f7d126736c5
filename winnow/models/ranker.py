"""The ranker: crossed features and attention over the history, added to the order that the sources give.

Crosses are DCN-v2's low-rank ones (Wang et al., 2021), attention is between a candidate and the history (DIN: Zhou et
al., 2018). A head per event type predicts what comes of an interaction, and the probability of an event is that of an
interaction times that of the event given one (ESMM: Ma et al., 2018). Lists that were shown have a bias per position,
which serving leaves out (PAL: Guo et al., 2019).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from winnow.models.affinity import HistoryAffinity
from winnow.models.towers import GAP_BUCKETS, CodeEmbedding, Shapes
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.schema import NUMERIC_FEATURES

PADDED = -1e9
"""Score of a padding candidate."""

OUTLIER = 4.0
"""Standard deviations at which a number is cut off, so that one drifted column cannot outweigh the others."""


POSITIONS = 100
"""Places of a shown list that have a bias of their own, which is the longest list of a request."""


class RankerOutput(NamedTuple):
    """Before calibration: the scores of the order, float32 [B, N], and the heads' logits, float32 [B, N, H]."""

    scores: Tensor
    heads: Tensor


class Cross(nn.Module):
    """One low-rank cross layer: ``x0 * (U V x + b) + x``."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width)

    def forward(self, first: Tensor, states: Tensor) -> Tensor:
        """Both [..., width]."""
        crossed: Tensor = first * self.up(self.down(states)) + states
        return crossed


class HistoryAttention(nn.Module):
    """Attention of a candidate over the history."""

    def __init__(self, dimension: int, width: int, events: int, length: int) -> None:
        super().__init__()
        self.query = nn.Linear(dimension, width, bias=False)
        self.key = nn.Linear(dimension, width, bias=False)
        self.value = nn.Linear(dimension, width, bias=False)
        self.event = nn.Embedding(events + 1, width)
        self.position = nn.Embedding(length, width)
        self.gap = nn.Embedding(GAP_BUCKETS, width)
        for table in (self.event, self.position, self.gap):
            nn.init.normal_(table.weight, std=0.02)
        self.recency = nn.Parameter(torch.linspace(-4.0, 0.0, length))
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        self.register_buffer("gap_bounds", torch.tensor([2.0**i - 1 for i in range(1, GAP_BUCKETS)]), False)
        self.gap_bounds: Tensor

    def forward(self, candidates: Tensor, history: Tensor, items: Tensor, events: Tensor, gaps: Tensor) -> Tensor:
        """The attended history of each candidate, and the candidate's similarity to it.

        Args:
            candidates: unit vectors [B, N, D].
            history: unit vectors [B, L, D].
            items: integers [B, L], only to tell padding.
            events: integers [B, L].
            gaps: float32 [B, L].

        Returns:
            float32 [B, N, width + 2].
        """
        bucket = (gaps.unsqueeze(-1) >= self.gap_bounds).sum(-1)
        marks = self.event(events) + self.position.weight + self.gap(bucket)
        keys, values = self.key(history) + marks, self.value(history) + marks
        likeness = candidates @ history.transpose(1, 2)
        weight = self.query(candidates) @ keys.transpose(1, 2) + self.sharpness * likeness + self.recency
        present = (items != 0).float().unsqueeze(1)
        # Not a plain masked softmax: an empty history must result in zeros, not in a mean over padding.
        share = functional.softmax(weight + (present - 1.0) * 1e9, dim=-1) * present
        recent = functional.softmax(self.recency + (present - 1.0) * 1e9, dim=-1) * present
        nearest = (likeness * share).sum(-1, keepdim=True)
        near_recent = (likeness * recent).sum(-1, keepdim=True)
        return torch.cat([share @ values, nearest, near_recent], dim=-1)


class ServedRanker(nn.Module):
    """Scores candidates. :class:`winnow.models.ranker_graph.RankerGraph` is the form in which it is exported.

    Args:
        shapes: sizes that the feature set fixed.
        numerics: ``M``, numeric columns of an item row.
        item_vectors: float32 [n + 1, D], the retriever's.
        affinity: compares candidates with the history.
        length: ``L``.
        width: of attention and projections.
        dropout: in the deep part.
        conversions: positions of the conversion types among the event types.

    The heads are one per event type, and, unless there is a single conversion type, one of any conversion.
    """

    def __init__(
        self,
        shapes: Shapes,
        numerics: int,
        item_vectors: Tensor,
        affinity: HistoryAffinity,
        length: int,
        width: int,
        dropout: float,
        conversions: tuple[int, ...],
    ) -> None:
        super().__init__()
        dimension = item_vectors.shape[1]
        self.numerics = numerics
        self.any_conversion = len(conversions) != 1
        self.conversion = shapes.events if self.any_conversion else conversions[0]
        heads = shapes.events + self.any_conversion
        numbers = numerics + len(CONTEXT_FEATURES)
        self.user_numerics = shapes.user_numerics
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor
        self.register_buffer("mean", torch.zeros(numbers))
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(numbers))
        self.register_buffer("sharpness", torch.tensor(1.0))
        self.sharpness: Tensor
        self.register_buffer("calibration", torch.tensor([[1.0], [0.0]]).repeat(1, heads))
        self.calibration: Tensor
        self.affinity = affinity
        self.attention = HistoryAttention(dimension, width, shapes.events, length)
        self.item = nn.Linear(dimension, width)
        self.categories = CodeEmbedding(shapes.item_cardinalities, shapes.item_tables, width // 2)
        self.traits = CodeEmbedding(shapes.user_cardinalities, shapes.user_tables, width // 2)
        inputs = numbers + affinity.width + (width + 2) + width + width // 2 + width // 2 + shapes.user_numerics
        self.crosses = nn.ModuleList(Cross(inputs, width) for _ in range(2))
        self.deep = nn.Sequential(
            nn.Linear(inputs, 2 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * width, width), nn.ReLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Linear(inputs + width, 1)
        # What comes of an interaction does not depend on the source that proposed the item.
        last = nn.Linear(2 * width, heads)
        self.heads = nn.Sequential(
            nn.Linear(inputs - len(CONTEXT_FEATURES), 2 * width), nn.ReLU(), nn.Dropout(dropout), last
        )
        for layer in (self.residual, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.position_bias = nn.Embedding(POSITIONS + 1, 1, padding_idx=0)
        nn.init.zeros_(self.position_bias.weight)
        self.trust = nn.Parameter(torch.tensor(0.0))
        self.base = CONTEXT_FEATURES.index("retriever_score") + numerics

    @property
    def device(self) -> torch.device:
        """The device of its tensors."""
        return self.item_vectors.device

    def logits(self, *inputs: Tensor) -> RankerOutput:
        """Logits before calibration, of the tensors of the wire contract. Training has no new items: eight tensors."""
        retrieved, standard, plain = self._parts(*inputs)
        first = torch.cat([standard, plain], dim=-1)
        states = first
        for cross in self.crosses:
            states = cross(first, states)
        residual = self.residual(torch.cat([self.dropout(states), self.deep(first)], dim=-1)).squeeze(-1)
        scores = retrieved * self.trust.exp() + residual
        return RankerOutput(scores, self._heads(standard, plain))

    def head_logits(self, *inputs: Tensor) -> Tensor:
        """The heads' logits alone, float32 [B, N, H], of the same tensors."""
        _, standard, plain = self._parts(*inputs)
        return self._heads(standard, plain)

    def _heads(self, standard: Tensor, plain: Tensor) -> Tensor:
        heads: Tensor = self.heads(torch.cat([standard[..., : self.numerics], plain], dim=-1))
        return heads

    def _parts(
        self,
        history_items: Tensor,
        history_events: Tensor,
        history_gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
        candidate_items: Tensor,
        candidate_categorical: Tensor,
        candidate_numeric: Tensor,
        fresh_vectors: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The retriever's score, all numbers as standard scores, and the rest of a candidate's inputs; [B, N, …]."""
        count = candidate_items.shape[1]
        if fresh_vectors is None:
            candidates = functional.embedding(candidate_items, self.item_vectors)
        else:
            candidates = self._vectors(candidate_items, fresh_vectors)
        history = functional.embedding(history_items, self.item_vectors)
        attended = self.attention(candidates, history, history_items, history_events, history_gaps)
        standard = ((candidate_numeric - self.mean) / self.scale).clamp(-OUTLIER, OUTLIER)
        declared = candidate_numeric[..., len(NUMERIC_FEATURES) : self.numerics]
        alike = self.affinity(history_items, history_events, candidate_categorical[..., 0], declared)
        user = self.traits(user_categorical)
        if self.user_numerics:
            user = torch.cat([user, user_numeric], dim=-1)
        user = user.unsqueeze(1).expand(-1, count, -1)
        parts = [alike, attended, self.item(candidates), self.categories(candidate_categorical), user]
        return candidate_numeric[..., self.base], standard, torch.cat(parts, dim=-1)

    def forward(
        self,
        history_items: Tensor,
        history_events: Tensor,
        history_gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
        candidate_items: Tensor,
        candidate_categorical: Tensor,
        candidate_numeric: Tensor,
        fresh_vectors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Tensors of the wire contract: ``probabilities`` and ``scores``."""
        scores, heads = self.logits(
            history_items,
            history_events,
            history_gaps,
            user_categorical,
            user_numeric,
            candidate_items,
            candidate_categorical,
            candidate_numeric,
            fresh_vectors,
        )
        padded = candidate_items == 0
        scores = scores.masked_fill(padded, PADDED)
        click = functional.softmax(scores * self.sharpness, dim=-1).unsqueeze(-1)
        given = torch.sigmoid(heads * self.calibration[0] + self.calibration[1])
        conversion = given[..., self.conversion : self.conversion + 1]
        types = given[..., : given.shape[-1] - self.any_conversion]
        return torch.cat([click, types, conversion], dim=-1).masked_fill(padded.unsqueeze(-1), 0.0), scores

    def _vectors(self, candidate_items: Tensor, fresh_vectors: Tensor) -> Tensor:
        """[B, N, D]: an index beyond the release's items means a row of ``fresh_vectors`` [B, F, D]."""
        first = len(self.item_vectors)
        new = candidate_items >= first
        places = (candidate_items - first).clamp(min=0).long().unsqueeze(-1).expand(-1, -1, fresh_vectors.shape[-1])
        indexed = functional.embedding(candidate_items.masked_fill(new, 0), self.item_vectors)
        return torch.where(new.unsqueeze(-1), fresh_vectors.gather(1, places), indexed)
