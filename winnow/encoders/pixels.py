"""Encoded pictures to the pixels an image encoder takes. Everything after the resize happens in the ONNX graph."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from winnow.encoders.media import BrokenMedia


def decode(content: bytes, size: int) -> NDArray[np.uint8]:
    """Decode a picture, crop its centre to a square and resize that.

    Args:
        content: an encoded picture of any format Pillow reads.
        size: pixels per side.

    Returns:
        uint8 [size, size, 3], RGB; transparent pixels become white.

    Raises:
        BrokenMedia: the bytes are not a whole picture, or decode to more pixels than Pillow deems safe.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise BrokenMedia(f"{picture.width} x {picture.height} pixels are too many to decode")
            picture.draft("RGB", (size, size))  # JPEG decodes straight to a smaller picture
            upright = ImageOps.exif_transpose(picture)
            white = Image.new("RGBA", upright.size, "white")
            flat = Image.alpha_composite(white, upright.convert("RGBA")) if _transparent(upright) else upright
            fitted = ImageOps.fit(flat.convert("RGB"), (size, size), method=Image.Resampling.BICUBIC)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenMedia(f"not a readable picture: {error}") from error
    return np.asarray(fitted, dtype=np.uint8)


def _transparent(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
