"""Tokenisation of text for a text encoder, with Hugging Face ``tokenizers`` alone.

The JSON file of a tokenizer defines normalisation, vocabulary, special tokens, truncation and padding.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PAD, START, END = 0, 1, 2
"""Ids of the special tokens of :func:`train_tokenizer`."""


def train_tokenizer(texts: Iterable[str], vocabulary: int, context_length: int) -> Tokenizer:
    """Train a lower-casing byte-level BPE tokenizer (Sennrich et al. 2016), which has no unknown tokens.

    Args:
        texts: training texts.
        vocabulary: maximum of tokens, including the 256 bytes and three special tokens.
        context_length: ids per text; longer texts are truncated, shorter ones padded at the end.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<start>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", START), ("<end>", END)]
    )
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=PAD, pad_token="<pad>")  # noqa: S106
    return tokenizer


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Token ids, int64 [texts, context length]."""
    encodings = tokenizer.encode_batch(list(texts))
    return np.array([encoding.ids for encoding in encodings], dtype=np.int64)
