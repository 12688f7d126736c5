"""The image encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from winnow.encoders.inputs import ImageInput, Modality
from winnow.signatures import IMAGE_ENCODER, ModelSignature


class ServedImageEncoder(nn.Module):
    """``pixels`` uint8 [B, H, W, 3] -> ``embedding`` float32 [B, D] of unit length; normalises the pixels itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, visual: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """Wrap the image tower of an open_clip model.

        Args:
            visual: float32 [B, 3, H, W], normalised -> float32 [B, D].
            mean: mean of each colour, in 0..1.
            std: standard deviation of each colour, in 0..1.
        """
        super().__init__()
        self.visual = visual
        self.register_buffer("mean", 255 * torch.tensor(mean), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed images."""
        colours = (pixels.float() - self.mean) / self.std
        return functional.normalize(self.visual(colours.permute(0, 3, 1, 2)).float(), dim=-1)


@dataclass(frozen=True)
class ImageEncoder:
    """An image encoder; see :class:`winnow.models.encoders.protocol.Encoder`."""

    module: ServedImageEncoder
    input: ImageInput
    modality: Modality = "image"
    signature: ModelSignature = IMAGE_ENCODER
