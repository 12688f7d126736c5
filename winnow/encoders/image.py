"""Pictures to vectors."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from winnow.encoders import media, pixels
from winnow.encoders.protocol import Modality
from winnow.signatures import IMAGE_ENCODER, ModelSignature

_READERS = 4


class ServedImageEncoder(nn.Module):
    """``pixels`` uint8 [B, H, W, 3] -> ``embedding`` float32 [B, D] of unit length; normalises the pixels itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, visual: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """Wrap the image tower of an open_clip model.

        Args:
            visual: float32 [B, 3, H, W], normalised -> float32 [B, D].
            mean: of each colour, in 0..1.
            std: of each colour, in 0..1.
        """
        super().__init__()
        self.visual = visual
        self.register_buffer("mean", 255 * torch.tensor(mean), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed pictures."""
        colours = (pixels.float() - self.mean) / self.std
        return functional.normalize(self.visual(colours.permute(0, 3, 1, 2)), dim=-1)


@dataclass(frozen=True)
class ImageEncoder:
    """An image encoder, and how a picture becomes its input; see :class:`winnow.encoders.protocol.Encoder`."""

    module: ServedImageEncoder
    image_size: int
    dimension: int
    modality: Modality = "image"
    signature: ModelSignature = IMAGE_ENCODER

    def prepare(self, content: Sequence[str]) -> tuple[NDArray[np.uint8], list[str | None]]:
        """Read and decode pictures, several at a time: reading and decoding both release the interpreter."""
        with ThreadPoolExecutor(_READERS) as pool:
            read = list(pool.map(self._read, content))
        readable = [picture for picture in read if not isinstance(picture, str)]
        stacked = np.stack(readable) if readable else np.empty((0, self.image_size, self.image_size, 3), np.uint8)
        return stacked, [picture if isinstance(picture, str) else None for picture in read]

    def _read(self, uri: str) -> NDArray[np.uint8] | str:
        try:
            return pixels.decode(media.read(uri), self.image_size)
        except media.BrokenMedia as error:
            return str(error)
