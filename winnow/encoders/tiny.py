"""``winnow-tiny``: an open_clip model small enough to train on the catalog itself, so nothing is downloaded.

A ResNet sees the pictures: a convolution knows from the start that a shape is the same shape elsewhere in the picture,
which a vision transformer would have to learn from far more pictures than a catalog has.
"""

import open_clip
from torch import nn

from winnow.encoders.settings import EncoderSettings
from winnow.encoders.tokens import END, PAD

MEAN = open_clip.OPENAI_DATASET_MEAN
STD = open_clip.OPENAI_DATASET_STD


def build_tiny(settings: EncoderSettings) -> nn.Module:
    """An untrained CLIP model (Radford et al. 2021), in open_clip's own classes."""
    model: nn.Module = open_clip.CustomTextCLIP(
        embed_dim=settings.dimension,
        vision_cfg={"layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "image_size": settings.image_size},
        text_cfg={
            "context_length": settings.context_length,
            "vocab_size": settings.vocabulary,
            "width": 64,
            "heads": 4,
            "layers": 2,
            "pool_type": "eos",
            "pad_id": PAD,
            "eos_id": END,
        },
    )
    return model
