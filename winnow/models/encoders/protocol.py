"""The interface of the encoders of all modalities, trained or pretrained."""

from typing import Protocol

from torch import nn

from winnow.encoders.inputs import AudioInput, ImageInput, Modality, TextInput
from winnow.signatures import ModelSignature


class Encoder(Protocol):
    """An encoder of prepared content to unit vectors; :mod:`winnow.encoders.preparation` prepares the content."""

    @property
    def modality(self) -> Modality:
        """The modality, which is the key of its embeddings."""
        ...

    @property
    def signature(self) -> ModelSignature:
        """The tensors of its served model."""
        ...

    @property
    def input(self) -> ImageInput | TextInput | AudioInput:
        """The form of its input, and the width of its embeddings."""
        ...

    @property
    def module(self) -> nn.Module:
        """The served model: from the signature's input to embeddings of unit length."""
        ...
