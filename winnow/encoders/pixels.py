"""Decoding of images to pixels for an image encoder. All steps after the resize are part of the ONNX graph."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from winnow.encoders import media
from winnow.encoders.media import BrokenMedia

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 25_000_000


def decode(content: bytes, size: int) -> NDArray[np.uint8]:
    """Decode an image, crop its centre to a square and resize the square.

    Size, format and number of pixels are checked before the image is decoded.

    Args:
        content: an encoded image in one of ``FORMATS``; of an animation, the first frame is used.
        size: pixels per side.

    Returns:
        uint8 [size, size, 3], RGB; transparent pixels become white.

    Raises:
        BrokenMedia: the bytes are not a complete image of such a format, are too many, or decode to more than
            ``MAX_PIXELS``.
    """
    media.check_size(len(content))
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BrokenMedia(
                    f"{picture.width} x {picture.height} pixels are more than the {MAX_PIXELS:,} that are allowed"
                )
            picture.draft("RGB", (size, size))  # JPEG decodes directly to a smaller image
            upright = ImageOps.exif_transpose(picture)
            white = Image.new("RGBA", upright.size, "white")
            flat = Image.alpha_composite(white, upright.convert("RGBA")) if _transparent(upright) else upright
            if flat.mode.startswith("I;16"):  # Pillow would clip 16 bits at 255 instead of scaling them
                flat = flat.point(lambda grey: grey / 257).convert("L")
            fitted = ImageOps.fit(flat.convert("RGB"), (size, size), method=Image.Resampling.BICUBIC)
    except BrokenMedia:
        raise
    except Exception as error:  # decoders raise errors of any type on malformed bytes
        reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        raise BrokenMedia(f"not a readable image ({', '.join(FORMATS)}): {reason}") from error
    return np.asarray(fitted, dtype=np.uint8)


def _transparent(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
