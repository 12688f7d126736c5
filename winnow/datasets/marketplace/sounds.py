"""Short sounds of the items: pitch by category, rhythm by style, timbre by material, and an interval by colour."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.catalog import Catalog

RATE = 8_000
"""Samples per second."""
_SECONDS = 0.8

_PARTIALS = np.array(
    [
        [1.0, 0.1, 0.5, 0.05, 0.25, 0.0],  # wood: odd partials, like a marimba
        [1.0, 0.8, 0.7, 0.6, 0.5, 0.4],  # metal: bright
        [1.0, 0.0, 0.0, 0.6, 0.0, 0.3],  # glass: hollow
        [1.0, 0.25, 0.05, 0.0, 0.0, 0.0],  # fabric: dull
    ]
)
_DECAY = np.array([9.0, 3.0, 5.0, 16.0])
"""Decay rate of a stroke on each material, per second."""
_STROKES = ((0.0,), (0.0, 0.4), (0.0, 0.2, 0.4), (0.0, 0.13, 0.4, 0.53), (0.0, 0.1, 0.2, 0.3, 0.4), (0.0, 0.55))
"""Times of the strokes of each style, in seconds."""


def record_sounds(catalog: Catalog, folder: Path, rng: np.random.Generator) -> list[str | None]:
    """Write the sounds as 16-bit mono WAV files; returns the file names, ``None`` for items without a sound."""
    folder.mkdir(parents=True)
    names = [f"{number:06d}.wav" if heard else None for number, heard in enumerate(catalog.with_sound)]
    for number, name in enumerate(names):
        if name:
            kind = catalog.category[number], catalog.style[number], catalog.colour[number], catalog.material[number]
            with wave.open(str(folder / name), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(_sound(*kind, rng).tobytes())
    return names


def _sound(category: int, style: int, colour: int, material: int, rng: np.random.Generator) -> "NDArray[np.int16]":
    seconds = np.arange(int(RATE * _SECONDS)) / RATE
    # Twelve pitches, two semitones apart, slightly out of tune; the colour sets the interval to a second tone.
    pitch = 130.0 * 2 ** (2 * category / 12 + rng.normal(0.0, 0.01))
    second = pitch * 2 ** ((3 + colour) / 12)
    decay = _DECAY[material]
    stroke = np.zeros_like(seconds)
    for partial, strength in enumerate(_PARTIALS[material], start=1):
        for tone, level in ((pitch, 1.0), (second, 0.5)):
            if strength and tone * partial < RATE / 2:
                stroke += level * strength * np.sin(2 * np.pi * tone * partial * seconds)
    stroke *= np.exp(-decay * seconds) * np.minimum(seconds / 0.005, 1.0)
    sound = np.zeros_like(stroke)
    for moment in _STROKES[style]:
        start = int(RATE * max(0.0, moment + rng.normal(0.0, 0.005)))
        sound[start:] += stroke[: len(stroke) - start]
    sound += rng.normal(0.0, 0.01, len(sound))
    return np.asarray(sound / np.abs(sound).max() * 28_000 * rng.uniform(0.6, 1.0), dtype="<i2")
