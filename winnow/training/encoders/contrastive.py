"""Contrastive training of the encoders of all modalities on a catalog, in one space.

The loss has three terms, each CLIP's symmetric cross-entropy over a batch (Radford et al. 2021): images against
captions, sounds against captions, and two views of a caption with different tokens dropped (SimCSE, Gao et al. 2021,
with dropout on the tokens). A catalog without images and sounds trains on the last. Items with the same caption are
positives of each other (Khosla et al. 2020), because a caption may be no more than a category.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from winnow.encoders.settings import TinySettings
from winnow.models.encoders.tiny import TinyEncoders, TinyModel
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.examples import Examples
from winnow.training.encoders.views import drop_tokens, louder_and_later, shift_and_flip
from winnow.training.loop.devices import autocast, device_of, threads_for
from winnow.training.loop.progress import Progress
from winnow.training.loop.weight_decay import decay_groups

_LARGEST_SCALE = math.log(100)  # of the logits, as in CLIP
_WEIGHT_DECAY = 0.05


@threads_for(1)
def train_contrastive(
    model: TinyModel,
    encoders: TinyEncoders,
    examples: Examples,
    settings: TinySettings,
    compute: ComputeSettings,
    show_progress: bool,
) -> list[float]:
    """Train a model in place; its weights end on the CPU, in evaluation mode.

    The examples stay in the memory of the host, and a batch of them moves to the device; ``training_items`` bounds
    them. The towers are not compiled: that takes longer than their few steps.

    On the CPU training uses one thread: the towers are small.

    Args:
        model: the owner of the parameters.
        encoders: the encoders on the model's towers.
        examples: at least two captions.
        settings: steps, batch size, learning rate, seed.
        compute: device and precision.
        show_progress: show a progress bar.

    Returns:
        The loss of every step.
    """
    random = np.random.default_rng(settings.seed)
    device = device_of(compute)
    audio, image, text = encoders.audio.module, encoders.image.module, encoders.text.module
    modules = (model, audio, image, text)
    for module in modules:
        module.to(device).train()
    captions = np.unique(examples.tokens, axis=0, return_inverse=True)[1].reshape(-1)
    optimiser = torch.optim.AdamW(decay_groups(model.parameters(), _WEIGHT_DECAY), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    losses: list[float] = []

    def moved(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    def embedded(embed: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        with autocast(compute, device):
            return embed(inputs)

    with Progress("encoders", settings.steps, "step", show_progress) as progress:
        while len(losses) < settings.steps:
            for rows in _batches(len(examples.tokens), settings.batch_size, random)[: settings.steps - len(losses)]:
                views = [drop_tokens(examples.tokens[rows], settings.token_dropout, random) for _ in range(2)]
                one, other = embedded(text, moved(np.concatenate(views))).chunk(2)
                same = moved(captions[rows][:, None] == captions[rows])
                loss = contrast(one, other, same, model.logit_scale.exp())
                seen = np.flatnonzero(examples.picture[rows] >= 0)
                if len(seen) > 1:
                    pixels = shift_and_flip(examples.pixels[examples.picture[rows[seen]]], random)
                    pictures = embedded(image, moved(pixels))
                    loss = loss + contrast(pictures, one[seen], same[seen][:, seen], model.logit_scale.exp())
                heard = np.flatnonzero(examples.sound[rows] >= 0)
                if len(heard) > 1:
                    samples = louder_and_later(examples.samples[examples.sound[rows[heard]]], random)
                    sounds = embedded(audio.embed, audio.spectrograms(moved(samples)))
                    loss = loss + contrast(sounds, one[heard], same[heard][:, heard], model.logit_scale.exp())
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                with torch.no_grad():
                    model.logit_scale.clamp_(0, _LARGEST_SCALE)
                losses.append(loss.item())
                progress.step(1)
                progress.show({"loss": losses[-1]})
    for module in modules:
        module.cpu().eval()
    return losses


def contrast(one: Tensor, other: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy, with a uniform target over the positives of each row.

    Args:
        one: float32 [B, D], unit vectors.
        other: float32 [B, D], unit vectors; row i belongs to row i of ``one``.
        same: bool [B, B], symmetric, true on the diagonal: which rows are positives of each other.
        scale: scale of the cosines.

    Returns:
        The mean loss; where only the diagonal is true, CLIP's loss.
    """
    logits = scale * one @ other.T
    target = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def _batches(count: int, size: int, random: np.random.Generator) -> list[NDArray[np.int64]]:
    order = random.permutation(count)
    return np.array_split(order, max(1, round(count / size)))
