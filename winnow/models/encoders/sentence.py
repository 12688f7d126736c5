"""Pretrained sentence encoders: the mean of a Hugging Face transformer's token vectors, scaled to unit length.

This is the common form of Sentence-BERT (Reimers and Gurevych 2019); ``sentence-transformers`` publishes hundreds of
models.
"""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from transformers import AutoModel
from winnow.encoders.inputs import TextInput
from winnow.encoders.settings import Sentence
from winnow.errors import WinnowError
from winnow.models.encoders.hub import model_folder
from winnow.models.encoders.text import TextEncoder

_STAGES = {"Transformer", "Pooling", "Normalize"}


class ServedSentenceEncoder(nn.Module):
    """``tokens`` int64 [B, T] -> ``embedding`` float32 [B, D] of unit length; padding is identified by its id."""

    def __init__(self, transformer: nn.Module, padding: int) -> None:
        """Wrap a transformer.

        Args:
            transformer: a Hugging Face encoder.
            padding: the token id of padding.
        """
        super().__init__()
        self.transformer = transformer
        self.padding = padding

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed texts."""
        mask = (tokens != self.padding).long()
        vectors = self.transformer(input_ids=tokens, attention_mask=mask).last_hidden_state
        return functional.normalize((vectors * mask[..., None]).sum(dim=1), dim=-1)


def load_sentence(choice: Sentence) -> TextEncoder:
    """Load a sentence encoder, in evaluation mode.

    Raises:
        WinnowError: the model is not on this machine, has another form, or does not take texts of this length.
    """
    folder = model_folder("text", choice.model)
    _check_form(choice, folder)
    try:
        transformer = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise WinnowError(f"text.model {choice.model!r} is not a complete encoder: {error}") from error
    config = transformer.config
    if config.pad_token_id is None or config.is_encoder_decoder:
        raise WinnowError(
            f"text.model {choice.model!r} is not an encoder with a padding token: choose a BERT-like model"
        )
    longest = config.max_position_embeddings - (config.pad_token_id + 1 if config.model_type in _OFFSET else 0)
    if choice.context_length > longest:
        raise WinnowError(
            f"text.context_length is {choice.context_length}, but {choice.model!r} takes at most {longest} ids"
        )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(choice.context_length)
    token = tokenizer.id_to_token(config.pad_token_id)
    tokenizer.enable_padding(length=choice.context_length, pad_id=config.pad_token_id, pad_token=token)
    module = ServedSentenceEncoder(transformer, config.pad_token_id).eval()
    described = TextInput(dimension=config.hidden_size, context_length=choice.context_length)
    return TextEncoder(module, described, tokenizer)


_OFFSET = {"roberta", "xlm-roberta", "camembert", "mpnet"}
"""Models whose positions start after the padding's id."""


def save_sentence(encoder: TextEncoder, folder: Path) -> None:
    """Write a folder that :func:`load_sentence` reads."""
    encoder.module.get_submodule("transformer").save_pretrained(folder)  # type: ignore[operator]
    encoder.tokenizer.save(str(folder / "tokenizer.json"))


def _check_form(choice: Sentence, folder: Path) -> None:
    if not (folder / "tokenizer.json").is_file():
        raise WinnowError(f"text.model {choice.model!r} has no tokenizer.json: choose a model with a fast tokenizer")
    if not (folder / "modules.json").is_file():
        return
    stages = {stage["type"].rpartition(".")[2] for stage in json.loads((folder / "modules.json").read_bytes())}
    if not stages <= _STAGES:
        raise WinnowError(
            f"text.model {choice.model!r} has stages besides {sorted(_STAGES)}: {sorted(stages - _STAGES)}"
        )
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_bytes())
    if not pooling.get("pooling_mode_mean_tokens", pooling.get("pooling_mode") == "mean"):
        raise WinnowError(f"text.model {choice.model!r} does not pool by the mean: choose a model that does")
