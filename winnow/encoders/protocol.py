"""What every encoder is, whatever its modality and wherever its weights come from."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from numpy.typing import NDArray
from torch import nn

from winnow.signatures import ModelSignature

Modality = Literal["image", "text"]


class Encoder(Protocol):
    """One modality's way from raw content to a unit vector."""

    @property
    def modality(self) -> Modality:
        """The key of its embeddings."""
        ...

    @property
    def signature(self) -> ModelSignature:
        """The tensors of its served model."""
        ...

    @property
    def dimension(self) -> int:
        """Width of its embeddings."""
        ...

    @property
    def module(self) -> nn.Module:
        """The served model: takes the signature's input, gives embeddings of unit length."""
        ...

    def prepare(self, content: Sequence[str]) -> tuple[NDArray[Any], list[str | None]]:
        """Make the served model's input.

        Args:
            content: per item, the text itself or the location of its picture.

        Returns:
            The input for the items that could be read, and for every item why it could not, or None.
        """
        ...
