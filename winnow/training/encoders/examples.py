"""Training examples of ``winnow-tiny``: the prepared captioned items of a catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation


@dataclass(frozen=True)
class Examples:
    """Training examples.

    Attributes:
        tokens: int64 [n, T], captions.
        pixels: uint8 [m, H, W, 3], images.
        picture: int64 [n], the row in ``pixels`` of each caption's image, -1 where it has none.
        samples: float32 [k, S], sounds.
        sound: int64 [n], the row in ``samples`` of each caption's sound, -1 where it has none.
    """

    tokens: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    picture: NDArray[np.int64]
    samples: NDArray[np.float32]
    sound: NDArray[np.int64]


def gather(
    contents: Contents, rows: NDArray[np.int64], modalities: Sequence[Modality], preparation: Preparation
) -> Examples:
    """Prepare captioned items; images and sounds that cannot be read are left out.

    Args:
        contents: content of the catalog.
        rows: int64 [n], the items to train on; each has a caption.
        modalities: the modalities to read besides the captions.
        preparation: preparation for the encoders to train.
    """
    tokens, _ = preparation.prepare_items("text", [contents.captions[row] for row in rows])
    parts: list[NDArray[Any]] = []
    for modality in ("image", "audio"):
        locations = [contents.of(modality)[row] if modality in modalities else "" for row in rows]
        listed = np.flatnonzero([bool(uri) for uri in locations])
        prepared, problems = preparation.prepare_items(modality, [locations[place] for place in listed])
        place = np.full(len(rows), -1, np.int64)
        place[listed[np.array([problem is None for problem in problems], bool)]] = np.arange(len(prepared))
        parts += [prepared, place]
    return Examples(tokens, *parts)
