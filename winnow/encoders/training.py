"""Contrastive training of image and text encoders on a catalog.

Two terms, one loss (CLIP's symmetric InfoNCE, Radford et al. 2021): a picture finds its own caption among the batch's,
and a caption with some of its words missing finds the same caption with others missing (SimCSE, Gao et al. 2021, with
dropout on the tokens). The second is what a catalog without pictures learns from.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import ClipLoss
from torch import Tensor, nn
from tqdm import tqdm

from winnow.encoders.settings import EncoderSettings
from winnow.encoders.tokens import END, PAD, START

_LARGEST_SCALE = math.log(100)  # of the logits, as in CLIP


@dataclass(frozen=True)
class Examples:
    """What training sees.

    Attributes:
        tokens: int64 [n, T], captions.
        pixels: uint8 [m, H, W, 3], pictures.
        picture: int64 [n], the row in ``pixels`` of each caption's picture, -1 where it has none.
    """

    tokens: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    picture: NDArray[np.int64]


def train_contrastive(
    clip: nn.Module,
    served_image: nn.Module,
    served_text: nn.Module,
    examples: Examples,
    settings: EncoderSettings,
    show_progress: bool,
) -> list[float]:
    """Train in place; the weights are left on the CPU, in evaluation mode.

    Args:
        clip: the model that owns the parameters and ``logit_scale``.
        served_image: uint8 [B, H, W, 3] -> unit vectors, on ``clip``'s image tower.
        served_text: int64 [B, T] -> unit vectors, on ``clip``'s text tower.
        examples: at least two captions.
        settings: steps, batch size, learning rate, seed.
        show_progress: show a bar.

    Returns:
        The loss of every step.
    """
    random = np.random.default_rng(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    served_image.to(device)
    served_text.to(device)
    clip.to(device).train()
    scale = clip.get_parameter("logit_scale")
    contrast = ClipLoss()
    optimiser = torch.optim.AdamW(_parameter_groups(clip), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    losses: list[float] = []
    with tqdm(total=settings.steps, desc="encoders", unit="step", disable=not show_progress) as bar:
        while len(losses) < settings.steps:
            for rows in _batches(len(examples.tokens), settings.batch_size, random)[: settings.steps - len(losses)]:
                views = [drop_tokens(examples.tokens[rows], settings.token_dropout, random) for _ in range(2)]
                one, other = served_text(torch.from_numpy(np.concatenate(views)).to(device)).chunk(2)
                loss: Tensor = contrast(one, other, scale.exp())
                pictured = examples.picture[rows] >= 0
                if pictured.sum() > 1:
                    pixels = shift_and_flip(examples.pixels[examples.picture[rows[pictured]]], random)
                    images = served_image(torch.from_numpy(pixels).to(device))
                    loss = loss + contrast(images, one[torch.from_numpy(pictured).to(device)], scale.exp())
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                with torch.no_grad():
                    scale.clamp_(0, _LARGEST_SCALE)
                losses.append(loss.item())
                bar.update()
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    clip.cpu().eval()
    served_image.cpu().eval()
    served_text.cpu().eval()
    return losses


def _parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [
        p for p in model.parameters() if p.ndim <= 1
    ]  # gains, biases and the logit scale have no reason to be small
    return [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]


def _batches(count: int, size: int, random: np.random.Generator) -> list[NDArray[np.int64]]:
    order = random.permutation(count)
    return np.array_split(order, max(1, round(count / size)))


def drop_tokens(tokens: NDArray[np.int64], share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """A view of each text: every token is left out with probability ``share``; what remains closes up.

    Args:
        tokens: int64 [B, T], as :func:`winnow.encoders.tokens.train_tokenizer` lays them out.
        share: between 0 and 1.
        random: where chance comes from.
    """
    kept = (random.random(tokens.shape) >= share) & (tokens != PAD)
    kept |= (tokens == START) | (tokens == END)
    order = np.argsort(~kept, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept, tokens, PAD), order, axis=1)


def shift_and_flip(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A view of each picture: moved by up to an eighth of its size, mirrored or not.

    Colours stay: products differ by them.

    Args:
        pixels: uint8 [B, H, W, 3].
        random: where chance comes from.
    """
    count, height, width, _ = pixels.shape
    margin = max(1, height // 8)
    padded = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    views = np.empty_like(pixels)
    offsets = random.integers(0, 2 * margin + 1, (count, 2))
    mirrored = random.integers(0, 2, (count,))
    for row in range(count):
        top, left = offsets[row]
        view = padded[row, top : top + height, left : left + width]
        views[row] = view[:, ::-1] if mirrored[row] else view
    return views
