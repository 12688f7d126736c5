"""The towers in training: the state of a fit, and its steps."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from winnow.features.table import FeatureSet
from winnow.features.targets import target_rows, target_values
from winnow.models.towers import CatalogInputs, ItemTower, Shapes, UserTower
from winnow.settings.training import ComputeSettings, RetrieverSettings
from winnow.training.loop.devices import autocast, compiled, device_of
from winnow.training.loop.ranks import Ranks
from winnow.training.loop.row_updates import RowUpdates
from winnow.training.loop.running_mean import RunningMean
from winnow.training.loop.weight_decay import decay_groups
from winnow.training.retriever.loss import target_log_probability, value_weighted
from winnow.training.retriever.negatives import NegativeSampler
from winnow.training.retriever.trained import TrainedRetriever, build_towers
from winnow.training.retriever.windows import Batch, Windows, cut

_BETAS = (0.9, 0.98)

_ID_RATE = 10.0
"""Learning rate of the id vectors that are updated by row, in multiples of the other weights'. A row moves only in the
steps that use its item: at one rate for all, the ids of a large catalog are still near their initial vectors when the
other weights have settled."""


class Fit:
    """The towers, their optimizer, and the running mean of their weights, which is what is used.

    Small catalogs are scored whole in every step. In larger ones a step scores the targets of its batch and sampled
    negatives, and updates only the id vectors that it used.

    The state is the same on all ranks. Every rank knows the whole batch, and computes the windows that are its share;
    the vectors of the batch's items are computed by all, so that their gradients have the same rows everywhere.

    Args:
        features: the feature set.
        settings: sizes and rates.
        compute: device and precision.
        ranks: the processes that train together.

    Attributes:
        step: steps taken since :meth:`begin`.
    """

    def __init__(self, features: FeatureSet, settings: RetrieverSettings, compute: ComputeSettings, ranks: Ranks):
        torch.manual_seed(settings.seed)
        self.features, self.settings, self.ranks = features, settings, ranks
        self.values = target_values(features, target_rows(features))
        self.shapes = Shapes.of(features)
        self._compute, self.device = compute, device_of(compute)
        self._inputs = CatalogInputs(features, self.shapes)
        self._item_tower, self._user_tower = build_towers(self.shapes, settings)
        self.towers = nn.ModuleList([self._item_tower, self._user_tower]).to(self.device)
        self._identity = next(self._item_tower.identity.parameters())
        self._forward = compiled(self._user_tower, compute, dynamic=True)
        log = features.interactions
        self._negatives: NegativeSampler | None = None
        if self.shapes.items > settings.full_softmax_items:
            self._negatives = NegativeSampler(log.item, self.shapes.items, settings.negatives, self.device)
            self._item_tower.identity.sparse = True
        else:
            self._catalog = np.arange(self.shapes.items + 1)
            self._catalog_inputs = self._inputs.take(self._catalog, self.device)
            # Never-seen items are excluded from the softmax: as negatives they would bias against new items.
            self._seen = np.unique(log.item)
        self.begin()

    def begin(self, start: TrainedRetriever | None = None) -> None:
        """Begin to count steps: with fresh moments of the optimizer, and a mean of the steps that follow.

        Args:
            start: weights to begin with, those that the towers have where it is missing.
        """
        if start is not None:
            weights = (*start.item_tower.parameters(), *start.user_tower.parameters())
            with torch.no_grad():
                for parameter, weight in zip(self.towers.parameters(), weights, strict=True):
                    parameter.copy_(weight)
        self.step = 0
        ids = self._identity if self._negatives else None
        self._rows = RowUpdates(ids.detach(), _BETAS) if ids is not None else None
        self._mean = RunningMean(self.towers, apart=ids)
        self._dense = [parameter for parameter in self.towers.parameters() if parameter is not ids]
        groups = decay_groups(self._dense, self.settings.weight_decay)
        self._optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, betas=_BETAS, fused=True)
        for parameter in self._dense:
            # AdamW would make them in its first step; a checkpoint is read before that.
            moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            self._optimizer.state[parameter] = {"step": torch.zeros((), device=self.device), **moments}

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint keeps beside ``step``, by name; reading one fills these tensors in place."""
        found = {f"towers.{name}": parameter.detach() for name, parameter in self.towers.named_parameters()}
        found |= {f"mean.{name}": tensor for name, tensor in self._mean.weights.items()}
        if self._rows is not None:
            found |= {f"ids.{name}": tensor for name, tensor in self._rows.state().items()}
        for number, parameter in enumerate(self._dense):
            found |= {f"adam.{number}.{name}": tensor for name, tensor in self._optimizer.state[parameter].items()}
        return found

    def resume(self, step: int) -> None:
        """Go on after step ``step`` of an earlier run, whose :meth:`state` was read."""
        self.step = step
        self._mean.resume(step)

    def learn(self, windows: Windows, stage: int) -> float:
        """Take one step.

        Args:
            windows: of the whole batch.
            stage: number of the fit; the step's random numbers follow from it, the step and the seed.

        Returns:
            This rank's share of the loss; the sum over the ranks is the mean loss per target. A batch without a
            positive target has no mean, and changes nothing.
        """
        batch = cut(self.features.interactions, self.values, windows)
        if not (batch.value > 0).any():
            return 0.0
        self.step += 1
        seed = (self.settings.seed, stage, self.step)
        torch.manual_seed(int(np.random.SeedSequence((*seed, self.ranks.rank)).generate_state(1, np.uint64)[0] >> 1))
        self.towers.train()
        rate = self.settings.learning_rate * min(1.0, self.step / self.settings.warm_up)
        loss = self._loss(batch, np.random.default_rng(seed))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._dense if p.grad is not None]
        if self._rows is not None:
            assert self._identity.grad is not None
            rows = self._identity.grad.coalesce()
            values = rows.values()
            gradients.append(values)
        self.ranks.all_reduce_sum(gradients)
        nn.utils.clip_grad_norm_(self._dense, 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._mean.update()
        if self._rows is not None:
            self._rows.update(rows.indices()[0], values, _ID_RATE * rate, self.step)
            self._identity.grad = None
        return float(loss.detach())

    def _loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        targets = batch.target[batch.target > 0]
        worth = float(batch.value.clip(min=0).sum())
        if self._negatives is None:
            needed, candidates = self._catalog, self._seen
            inputs = self._catalog_inputs
        else:
            candidates = np.unique(np.concatenate([targets, self._negatives.draw(rng)]))
            needed = np.union1d(batch.history.items, candidates)
            inputs = self._inputs.take(needed, self.device)
        share = batch.take(self.ranks.share(len(batch.user)))
        learned = share.target > 0
        with autocast(self._compute, self.device):
            vectors = self._item_tower(self._tensor(needed), inputs)
            history = self._tensor(np.searchsorted(needed, share.history.items))
            users = self._forward(
                self._tensor(share.history.items),
                functional.embedding(history, vectors),
                self._tensor(share.history.events),
                self._tensor(share.history.gaps),
                *(self._tensor(self.features.user_rows[share.user][name]) for name in ("categorical", "numeric")),
            )
            logits = users[self._tensor(learned)] @ vectors[self._tensor(np.searchsorted(needed, candidates))].T
        target = self._tensor(np.searchsorted(candidates, share.target[learned]))
        correction = self._negatives.log_inclusion(self._tensor(candidates), len(targets)) if self._negatives else None
        found = target_log_probability(logits.float(), target, correction)
        return value_weighted(found, self._tensor(share.value[learned])) / worth

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    @torch.no_grad()
    def snapshot(self) -> TrainedRetriever:
        """The towers with their mean weights as they are now, and the vectors of all items, on the CPU."""
        item_tower, user_tower = self._mean.model().cpu()
        assert isinstance(item_tower, ItemTower)
        assert isinstance(user_tower, UserTower)
        item_tower.identity.sparse = False
        if self._rows is not None:
            item_tower.identity.weight.copy_(self._rows.mean())
        return self.with_vectors(item_tower, user_tower)

    def empty(self) -> TrainedRetriever:
        """A model of the same sizes on the CPU, whose weights a checkpoint fills before :meth:`with_vectors`."""
        item_tower, user_tower = build_towers(self.shapes, self.settings)
        nothing = torch.zeros(self.shapes.items + 1, 0)
        return TrainedRetriever(self.shapes, self.settings, item_tower.eval(), user_tower.eval(), nothing)

    @torch.no_grad()
    def with_vectors(self, item_tower: ItemTower, user_tower: UserTower) -> TrainedRetriever:
        """The trained model of two towers on the CPU, in evaluation mode."""
        vectors = torch.empty(self.shapes.items + 1, self.settings.dimension)
        for first in range(0, len(vectors), 65_536):
            items = np.arange(first, min(first + 65_536, len(vectors)))
            vectors[items] = item_tower(torch.from_numpy(items), self._inputs.take(items))
        vectors[0] = 0.0
        return TrainedRetriever(self.shapes, self.settings, item_tower, user_tower, vectors)
