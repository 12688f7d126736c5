"""What ``winnow-tiny`` learns from: the captioned items of a catalog, prepared."""

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
    """What training sees.

    Attributes:
        tokens: int64 [n, T], captions.
        pixels: uint8 [m, H, W, 3], pictures.
        picture: int64 [n], the row in ``pixels`` of each caption's picture, -1 where it has none.
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
    """Prepare captioned items; a picture or sound that cannot be read is left out.

    Args:
        contents: of the catalog.
        rows: int64 [n], the items to learn from; each has a caption.
        modalities: what to read besides the captions.
        preparation: for the encoders that will be trained.
    """
    tokens, _ = preparation.prepare_items("text", [contents.captions[row] for row in rows])
    parts: list[NDArray[Any]] = []
    for modality in ("image", "audio"):
        wanted = [contents.of(modality)[row] if modality in modalities else "" for row in rows]
        listed = np.flatnonzero([bool(uri) for uri in wanted])
        prepared, problems = preparation.prepare_items(modality, [wanted[place] for place in listed])
        place = np.full(len(rows), -1, np.int64)
        place[listed[np.array([problem is None for problem in problems], bool)]] = np.arange(len(prepared))
        parts += [prepared, place]
    return Examples(tokens, *parts)
