"""Preparation of raw content for the encoders, the same for a catalog and for a request."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from winnow.encoders import media, pixels, sounds
from winnow.encoders.inputs import EncoderInputs, Modality
from winnow.encoders.tokens import tokenise
from winnow.errors import WinnowError

INPUTS_FILE = "encoders.json"
TOKENIZER_FILE = "tokenizer.json"

_READERS = 4


class Preparation:
    """Decodes images and sounds and tokenises texts for the encoders of one release."""

    def __init__(self, inputs: EncoderInputs, tokenizer: Tokenizer | None) -> None:
        """Prepare content for these encoders.

        Args:
            inputs: the inputs of the encoders.
            tokenizer: the tokenizer of the text encoder; ``None`` without a text encoder.

        Raises:
            WinnowError: the tokenizer is missing, or returns another number of ids than the text encoder takes.
        """
        self.inputs = inputs
        self._tokenizer = tokenizer
        if inputs.text is None:
            return
        if tokenizer is None:
            raise WinnowError(f"the text encoder has no {TOKENIZER_FILE}: export the encoders again")
        length = len(tokenizer.encode("").ids)
        if length != inputs.text.context_length:
            raise WinnowError(
                f"{TOKENIZER_FILE} returns {length} ids, but text.context_length in {INPUTS_FILE} is "
                f"{inputs.text.context_length}: the files are of different encoders"
            )

    @classmethod
    def load(cls, folder: Path) -> "Preparation":
        """Read ``encoders.json`` and, if present, ``tokenizer.json``.

        Raises:
            WinnowError: ``encoders.json`` is missing, or the files are of different encoders.
        """
        try:
            inputs = EncoderInputs.model_validate_json((folder / INPUTS_FILE).read_bytes())
        except FileNotFoundError:
            raise WinnowError(f"no {INPUTS_FILE} in {folder}: train or export the encoders into this folder") from None
        path = folder / TOKENIZER_FILE
        return cls(inputs, Tokenizer.from_file(str(path)) if path.exists() else None)

    def prepare(self, modality: Modality, content: bytes | str) -> NDArray[Any]:
        """Make the input of an encoder from the content of one item.

        Args:
            modality: the encoder's modality.
            content: an encoded image or sound as bytes, or a text as str.

        Returns:
            uint8 [size, size, 3] for an image, int64 [context_length] for a text, float32 [samples] for a sound.

        Raises:
            BrokenMedia: the image or sound is incomplete, too large or of an unknown format.
            WinnowError: the modality has no encoder.
        """
        if modality == "text" and self._tokenizer is not None and isinstance(content, str):
            return np.asarray(tokenise(self._tokenizer, [content])[0])
        if modality == "image" and self.inputs.image is not None and isinstance(content, bytes):
            return pixels.decode(content, self.inputs.image.size)
        if modality == "audio" and self.inputs.audio is not None and isinstance(content, bytes):
            return sounds.decode(content, self.inputs.audio.rate, self.inputs.audio.samples)
        if modality not in self.inputs.widths:
            raise WinnowError(f"there is no {modality} encoder, only {', '.join(self.inputs.widths) or 'none at all'}")
        raise TypeError(f"{modality} content is {'str' if modality == 'text' else 'bytes'}, not {type(content)}")

    def prepare_items(self, modality: Modality, content: Sequence[str]) -> tuple[NDArray[Any], list[str | None]]:
        """Prepare several items of a catalog in threads, because reading and decoding release the interpreter's lock.

        Args:
            modality: the encoder's modality.
            content: texts, or locations of images or sounds, at least one.

        Returns:
            The input [B, ...] of the readable items, and for every item its problem or ``None``.
        """
        if modality == "text" and self._tokenizer is not None:
            return tokenise(self._tokenizer, content), [None] * len(content)
        with ThreadPoolExecutor(_READERS) as pool:
            read = list(pool.map(lambda uri: self._read(modality, uri), content))
        usable = [entry for entry in read if not isinstance(entry, str)]
        return self._stack(modality, usable), [entry if isinstance(entry, str) else None for entry in read]

    def _read(self, modality: Modality, uri: str) -> NDArray[Any] | str:
        try:
            content = media.read(uri)
        except media.BrokenMedia as error:
            return str(error)
        try:
            return self.prepare(modality, content)
        except media.BrokenMedia as error:
            return f"{uri}: {error}"

    def _stack(self, modality: Modality, items: list[NDArray[Any]]) -> NDArray[Any]:
        if items:
            return np.stack(items)
        if modality == "image" and self.inputs.image is not None:
            return np.empty((0, self.inputs.image.size, self.inputs.image.size, 3), np.uint8)
        assert self.inputs.audio is not None
        return np.empty((0, self.inputs.audio.samples), np.float32)
