"""The trained ranker in the form in which it is exported: the same function, in fewer and cheaper operations.

It is computed for hundreds of candidates per request. On a CPU most of the time of
:class:`~winnow.models.ranker.ServedRanker`'s own ``forward`` goes into operations other than products with weights, and
these are what differs here. The export compares the graph with the trained module.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import OUTLIER, PADDED, Cross, HistoryAttention, ServedRanker
from winnow.models.towers import CodeEmbedding
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.schema import NUMERIC_FEATURES

_FAR = 1e9
"""Subtracted from the attention logit of padding."""


class RankerGraph(nn.Module):
    """Scores candidates.

    Args:
        ranker: the trained ranker, whose row 0 of item vectors is zero; its weights become those of this module.
    """

    def __init__(self, ranker: ServedRanker) -> None:
        super().__init__()
        self.numerics = ranker.numerics
        self.user_numerics = ranker.user_numerics
        self.base = ranker.base
        self.register_buffer("item_vectors", ranker.item_vectors)
        self.item_vectors: Tensor
        self.register_buffer("mean", ranker.mean)
        self.mean: Tensor
        self.register_buffer("scale", ranker.scale)
        self.scale: Tensor
        self.register_buffer("sharpness", ranker.sharpness)
        self.sharpness: Tensor
        self.attention = _Attention(ranker.attention)
        self.affinity = _Affinity(ranker.affinity)
        self.item = ranker.item
        self.categories = _Codes(ranker.categories)
        self.traits = _Codes(ranker.traits)
        self.residual = _Residual(ranker)
        self.heads = _Heads(ranker)
        self.register_buffer("trust", ranker.trust.detach().exp())
        self.trust: Tensor

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
        batch, count = candidate_items.shape
        candidates = self._vectors(candidate_items, fresh_vectors)
        history = functional.embedding(history_items, self.item_vectors)
        declared = candidate_numeric[..., len(NUMERIC_FEATURES) : self.numerics]
        user = torch.cat([self.traits(user_categorical), user_numeric[:, : self.user_numerics]], dim=-1)
        parts = [
            ((candidate_numeric - self.mean) / self.scale).clamp(-OUTLIER, OUTLIER),
            *self.affinity(history_items, history_events, candidate_categorical[..., 0], declared),
            *self.attention(candidates, history, history_items, history_events, history_gaps),
            self.item(candidates.view(-1, candidates.shape[2])).view(batch, count, -1),
            self.categories(candidate_categorical),
            user.unsqueeze(1).expand(-1, count, -1),
        ]
        # In two dimensions, where a product, its bias and ReLU are one operation.
        inputs = torch.cat(parts, dim=-1).flatten(0, 1)
        scores = self.residual(inputs).view(batch, count) + candidate_numeric[..., self.base] * self.trust
        given = torch.sigmoid(self.heads(inputs)).view(batch, count, -1)
        padded = candidate_items == 0
        scores = scores.masked_fill(padded, PADDED)
        click = functional.softmax(scores * self.sharpness, dim=-1).unsqueeze(-1)
        return torch.cat([click, given], dim=-1) * (~padded).float().unsqueeze(-1), scores

    def _vectors(self, candidate_items: Tensor, fresh_vectors: Tensor) -> Tensor:
        """[B, N, D]: an index beyond the release's items means a row of ``fresh_vectors`` [B, F, D].

        Row 0 of the item vectors is zero, and so is row 0 of the table of new items: one of the two is added.
        """
        place = candidate_items - (len(self.item_vectors) - 1)
        table = functional.pad(fresh_vectors, (0, 0, 1, 0))
        known = functional.embedding(candidate_items.masked_fill(place > 0, 0), self.item_vectors)
        return known + _rows(table, place.long().clamp_min(0))


def _rows(tables: Tensor, places: Tensor) -> Tensor:
    """The rows ``places`` (int64 [B, N]) of each user's table [B, F, D]: [B, N, D]."""
    if not torch.compiler.is_exporting():
        return tables.gather(1, places.unsqueeze(2).expand(-1, -1, tables.shape[2]))
    # The exporter would write an index per number. Places in one table of all users would need the users' numbers,
    # which runtimes compute on the CPU.
    return torch.onnx.ops.symbolic(
        "GatherND",
        (tables, places.unsqueeze(2)),
        {"batch_dims": 1},
        dtype=torch.float32,
        shape=(places.shape[0], places.shape[1], tables.shape[2]),
        version=13,
    )


class _Attention(nn.Module):
    """:class:`~winnow.models.ranker.HistoryAttention`; the query's projection is applied to the history's keys."""

    def __init__(self, trained: HistoryAttention) -> None:
        super().__init__()
        query = trained.query.weight.detach()
        itself = trained.sharpness.detach() * torch.eye(query.shape[1])
        self.width = query.shape[1]
        project = [trained.key.weight.detach().T @ query + itself, trained.value.weight.detach().T]
        self.register_buffer("project", torch.cat(project, dim=1))
        self.project: Tensor
        for name in ("event", "position", "gap"):
            table = getattr(trained, name).weight.detach()
            self.register_buffer(name, torch.cat([table @ query, table], dim=1))
        self.event: Tensor
        self.position: Tensor
        self.gap: Tensor
        self.register_buffer("recency", trained.recency.detach())
        self.recency: Tensor
        self.register_buffer("gap_bounds", trained.gap_bounds)
        self.gap_bounds: Tensor

    def forward(
        self, candidates: Tensor, history: Tensor, items: Tensor, events: Tensor, gaps: Tensor
    ) -> tuple[Tensor, ...]:
        bucket = (gaps.unsqueeze(-1) >= self.gap_bounds).sum(-1)
        marks = functional.embedding(events, self.event) + functional.embedding(bucket, self.gap) + self.position
        present = (items != 0).float()
        projected = history @ self.project + marks
        keys, values = projected[..., : self.width], projected[..., self.width :] * present.unsqueeze(2)
        recency = (self.recency + (present - 1.0) * _FAR).unsqueeze(1)
        share = functional.softmax(candidates @ keys.transpose(1, 2) + recency, dim=-1)
        direction = (functional.softmax(recency, dim=-1) @ history).transpose(1, 2)
        nearest = (candidates @ history.transpose(1, 2) * share).sum(-1, keepdim=True)
        return share @ values, nearest, candidates @ direction


class _Affinity(nn.Module):
    """:class:`~winnow.models.affinity.HistoryAffinity`."""

    def __init__(self, trained: HistoryAffinity) -> None:
        super().__init__()
        categories = trained.categories
        # A history's item without a category is like no candidate.
        self.register_buffer("categories", categories.masked_fill(categories == 0, -1).to(torch.int32).unsqueeze(1))
        self.categories: Tensor
        self.register_buffer("category_means", trained.category_means)
        self.category_means: Tensor
        self.register_buffer("relative", trained.relative)
        self.relative: Tensor
        self.register_buffer("kinds", torch.eye(trained.events + 1)[:, 1:].contiguous())
        self.kinds: Tensor

    def forward(self, items: Tensor, events: Tensor, categories: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        present = (items != 0).float().unsqueeze(2)
        own = functional.embedding(items, self.categories).transpose(1, 2)
        same = (categories.unsqueeze(2) == own).float()
        kinds = functional.embedding(events, self.kinds) * present
        of_all = torch.log1p(kinds.sum(1, keepdim=True)).expand(-1, categories.shape[1], -1)
        usual = (functional.embedding(items, self.relative) * present).sum(1, keepdim=True)
        usual = usual / present.sum(1, keepdim=True).clamp_min(1.0)
        relative = numbers - functional.embedding(categories, self.category_means)
        distance = (relative - usual).abs()
        return torch.log1p(same @ kinds), of_all, relative, usual.expand_as(relative), distance


class _Codes(nn.Module):
    """:class:`~winnow.models.towers.CodeEmbedding`, whose codes 0 have a row of zeros in place of a mask."""

    def __init__(self, trained: CodeEmbedding) -> None:
        super().__init__()
        self.register_buffer("starts", trained.starts.to(torch.int32))
        self.starts: Tensor
        table = trained.embedding.weight.detach().clone()
        table[trained.starts] = 0.0
        self.register_buffer("table", table)
        self.table: Tensor
        self.register_buffer("total", torch.eye(table.shape[1]).repeat(len(self.starts), 1))
        self.total: Tensor

    def forward(self, codes: Tensor) -> Tensor:
        if not len(self.starts):
            return self.table.new_zeros((*codes.shape[:-1], self.table.shape[1]))
        # A product with stacked unit matrices, because sums over a dimension within are slow in runtimes.
        return functional.embedding(codes + self.starts, self.table).flatten(-2) @ self.total


class _Residual(nn.Module):
    """What is added to the retriever's score: crosses and the deep part, in one number.

    Of the last cross ``x0 * (U h + b) + x``, only its product with the residual's weights ``w`` is needed:
    ``h (U' (w * x0)) + x0 (w * b) + x w``, in which ``x0`` is multiplied by weights again. All of it is one product of
    ``x``'s projection ``(h, x w, 1)`` and ``x0``'s ``(U' (w * x0), 1, x0 (w * b))``.
    """

    def __init__(self, ranker: ServedRanker) -> None:
        super().__init__()
        one, two = ranker.crosses
        assert isinstance(one, Cross)
        assert isinstance(two, Cross)
        weight, width = ranker.residual.weight.detach()[0], one.down.in_features
        crossed, last = weight[:width], weight[width:]
        up, bias = two.up.weight.detach(), two.up.bias.detach()
        plain, units = torch.zeros(two.up.in_features), torch.eye(2)
        self.down = one.down
        self.up = _linear(one.up.weight.detach(), one.up.bias.detach() + 1.0)
        second = torch.cat([two.down.weight.detach(), crossed.unsqueeze(0), torch.zeros(1, width)])
        self.second = _linear(second, torch.cat([plain, units[1]]))
        first = torch.cat([(up * crossed.unsqueeze(1)).T, torch.zeros(1, width), (bias * crossed).unsqueeze(0)])
        self.first = _linear(first, torch.cat([plain, units[0]]))
        self.deep = ranker.deep
        self.last = _linear(last.unsqueeze(0), ranker.residual.bias.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        states = inputs * self.up(self.down(inputs))
        crossed = (self.second(states) * self.first(inputs)).sum(-1, keepdim=True)
        residual: Tensor = crossed + self.last(self.deep(inputs))
        return residual


class _Heads(nn.Module):
    """The calibrated logits of every event type and of a conversion."""

    def __init__(self, ranker: ServedRanker) -> None:
        super().__init__()
        first, last = ranker.heads[0], ranker.heads[-1]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        # They do not read the context features, which the other parts do: weights of zero cost less than a copy of the
        # inputs without them.
        weight, numbers = first.weight.detach(), ranker.numerics
        unread = torch.zeros(len(weight), len(CONTEXT_FEATURES))
        weight = torch.cat([weight[:, :numbers], unread, weight[:, numbers:]], dim=1)
        self.hidden = _linear(weight, first.bias.detach())
        slope, shift = ranker.calibration
        types = range(last.out_features - ranker.any_conversion)
        columns = torch.tensor([*types, ranker.conversion])
        weight, bias = last.weight.detach() * slope.unsqueeze(1), last.bias.detach() * slope + shift
        self.last = _linear(weight[columns], bias[columns])

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.last(functional.relu(self.hidden(inputs)))
        return logits


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer with these weights, [outputs, inputs] and [outputs]."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
