"""Raw content to what the served encoders take, the same for a catalog and for a request."""

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
    """Decodes pictures and sounds and tokenises texts, for the encoders of one release."""

    def __init__(self, inputs: EncoderInputs, tokenizer: Tokenizer | None) -> None:
        """Prepare for these encoders.

        Args:
            inputs: what each of them takes.
            tokenizer: of the text encoder, if there is one.

        Raises:
            WinnowError: the tokenizer is missing, or gives texts of another length than the text encoder takes.
        """
        self.inputs = inputs
        self._tokenizer = tokenizer
        if inputs.text is None:
            return
        if tokenizer is None:
            raise WinnowError(f"there is a text encoder, but no {TOKENIZER_FILE}: the two are written together")
        length = len(tokenizer.encode("").ids)
        if length != inputs.text.context_length:
            raise WinnowError(
                f"{TOKENIZER_FILE} gives {length} ids, but text.context_length in {INPUTS_FILE} is "
                f"{inputs.text.context_length}: they are of different encoders"
            )

    @classmethod
    def load(cls, folder: Path) -> "Preparation":
        """Read ``encoders.json`` and, where there is one, ``tokenizer.json``.

        Raises:
            WinnowError: there is no ``encoders.json``, or the files do not belong together.
        """
        try:
            inputs = EncoderInputs.model_validate_json((folder / INPUTS_FILE).read_bytes())
        except FileNotFoundError:
            raise WinnowError(f"no {INPUTS_FILE} in {folder}: it is written with the encoders") from None
        path = folder / TOKENIZER_FILE
        return cls(inputs, Tokenizer.from_file(str(path)) if path.exists() else None)

    def prepare(self, modality: Modality, content: bytes | str) -> NDArray[Any]:
        """Make an encoder's input of one item's content.

        Args:
            modality: whose encoder.
            content: an encoded picture or sound as bytes, or a text as str.

        Returns:
            uint8 [size, size, 3] for a picture, int64 [context_length] for a text, float32 [samples] for a sound.

        Raises:
            BrokenMedia: the picture or sound is not whole, too large or of an unknown format.
            WinnowError: there is no encoder for the modality.
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
        """Prepare several items of a catalog, several at a time: reading and decoding release the interpreter.

        Args:
            modality: whose encoder.
            content: at least one item's text, or the location of its picture or sound.

        Returns:
            The input [B, ...] for the items that can be read, and for every item why it cannot, or None.
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
