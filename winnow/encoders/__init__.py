"""Inputs of the encoders: text, images and sounds as tensors, the same offline and online, without torch.

The networks are in :mod:`winnow.models.encoders`, their training in :mod:`winnow.training.encoders`.
"""

from winnow.encoders.inputs import MODALITIES, EncoderInputs, Modality
from winnow.encoders.settings import EncoderSettings

__all__ = ["MODALITIES", "EncoderInputs", "EncoderSettings", "Modality"]
