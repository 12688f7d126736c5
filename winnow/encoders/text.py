"""Words to vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from winnow.encoders.protocol import Modality
from winnow.encoders.tokens import tokenise
from winnow.signatures import TEXT_ENCODER, ModelSignature


class ServedTextEncoder(nn.Module):
    """``tokens`` int64 [B, T] -> ``embedding`` float32 [B, D] of unit length."""

    def __init__(self, text: nn.Module) -> None:
        """Wrap the text tower of an open_clip model: int64 [B, T] -> float32 [B, D]."""
        super().__init__()
        self.text = text

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed texts."""
        return functional.normalize(self.text(tokens), dim=-1)


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder and its tokenizer; see :class:`winnow.encoders.protocol.Encoder`."""

    module: ServedTextEncoder
    tokenizer: Tokenizer
    dimension: int
    modality: Modality = "text"
    signature: ModelSignature = TEXT_ENCODER

    def prepare(self, content: Sequence[str]) -> tuple[NDArray[np.int64], list[str | None]]:
        """Tokenise texts; every text can be."""
        return tokenise(self.tokenizer, content), [None] * len(content)
