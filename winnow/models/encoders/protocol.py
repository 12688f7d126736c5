"""What every encoder is, whatever its modality and wherever its weights come from."""

from typing import Protocol

from torch import nn

from winnow.encoders.inputs import AudioInput, ImageInput, Modality, TextInput
from winnow.signatures import ModelSignature


class Encoder(Protocol):
    """One modality's way from prepared content to a unit vector; :mod:`winnow.encoders.preparation` prepares it."""

    @property
    def modality(self) -> Modality:
        """The key of its embeddings."""
        ...

    @property
    def signature(self) -> ModelSignature:
        """The tensors of its served model."""
        ...

    @property
    def input(self) -> ImageInput | TextInput | AudioInput:
        """What its input looks like, and how wide its embeddings are."""
        ...

    @property
    def module(self) -> nn.Module:
        """The served model: takes the signature's input, gives embeddings of unit length."""
        ...
