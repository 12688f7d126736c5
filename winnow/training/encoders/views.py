"""Random views of training examples: changes to text, image or sound that keep the meaning."""

import numpy as np
from numpy.typing import NDArray

from winnow.encoders.tokens import END, PAD, START


def drop_tokens(tokens: NDArray[np.int64], share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """A view of each text: every token is dropped with probability ``share``, and the others move together.

    A text that would lose all words keeps them: the caption of a one-word category would match an empty text.

    Args:
        tokens: int64 [B, T], in the layout of :func:`winnow.encoders.tokens.train_tokenizer`.
        share: between 0 and 1.
        random: the random generator.
    """
    words = (tokens != PAD) & (tokens != START) & (tokens != END)
    kept = (random.random(tokens.shape) >= share) & words
    kept |= words & ~kept.any(axis=1, keepdims=True)
    kept |= (tokens == START) | (tokens == END)
    order = np.argsort(~kept, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept, tokens, PAD), order, axis=1)


def shift_and_flip(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A view of each image: moved by up to an eighth of its size, mirrored or not.

    Colours stay, because they distinguish products.

    Args:
        pixels: uint8 [B, H, W, 3].
        random: the random generator.
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


def louder_and_later(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """A view of each sound: up to 12 dB quieter, delayed by up to a tenth of its length, with faint noise.

    Args:
        samples: float32 [B, S].
        random: the random generator.
    """
    count, length = samples.shape
    views = np.zeros_like(samples)
    gains = np.power(10, random.uniform(-0.6, 0, count)).astype(np.float32)
    for row, delay in enumerate(random.integers(0, length // 10 + 1, count)):
        views[row, delay:] = gains[row] * samples[row, : length - delay]
    noise = random.standard_normal(views.shape, dtype=np.float32) * np.power(10, random.uniform(-4, -2.5, (count, 1)))
    return np.where(views == 0, 0, views + noise).astype(np.float32)
