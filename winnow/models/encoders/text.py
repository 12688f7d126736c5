"""The text encoder."""

from dataclasses import dataclass

from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from winnow.encoders.inputs import Modality, TextInput
from winnow.signatures import TEXT_ENCODER, ModelSignature


class ServedTextEncoder(nn.Module):
    """``tokens`` int64 [B, T] -> ``embedding`` float32 [B, D] of unit length."""

    def __init__(self, text: nn.Module) -> None:
        """Wrap the text tower of an open_clip model: int64 [B, T] -> float32 [B, D]."""
        super().__init__()
        self.text = text

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed texts."""
        return functional.normalize(self.text(tokens).float(), dim=-1)


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder and its tokenizer; see :class:`winnow.models.encoders.protocol.Encoder`."""

    module: nn.Module
    input: TextInput
    tokenizer: Tokenizer
    modality: Modality = "text"
    signature: ModelSignature = TEXT_ENCODER
