"""Small pictures and sounds, encoded as a request carries them."""

import base64
import io

import numpy as np
import soundfile
from PIL import Image


def picture(colour: str = "red") -> dict[str, str]:
    """A PNG of 20 x 30 pixels."""
    return _encoded(picture_bytes(colour))


def picture_bytes(colour: str) -> bytes:
    """The same, not encoded."""
    file = io.BytesIO()
    Image.new("RGB", (20, 30), colour).save(file, "PNG")
    return file.getvalue()


def sound(hertz: float = 440.0) -> dict[str, str]:
    """A WAV of a tenth of a second."""
    file = io.BytesIO()
    wave = np.sin(np.arange(800) * hertz * 2 * np.pi / 8000)
    soundfile.write(file, wave, 8000, format="WAV", subtype="PCM_16")
    return _encoded(file.getvalue())


def _encoded(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}
