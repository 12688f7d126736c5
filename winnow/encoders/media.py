"""The bytes of an image or a sound, at a local path or on S3."""

from winnow import files
from winnow.errors import WinnowError
from winnow.fields import MAX_MEDIA_BYTES


class BrokenMedia(WinnowError):
    """An image or a sound cannot be read or decoded; the message names it and the reason."""


def check_size(count: int) -> None:
    """Refuse content of no bytes or of more than ``MAX_MEDIA_BYTES``.

    Raises:
        BrokenMedia: the content is empty or too large.
    """
    if count == 0:
        raise BrokenMedia("it is empty")
    if count > MAX_MEDIA_BYTES:
        raise BrokenMedia(f"{count:,} bytes are more than the {MAX_MEDIA_BYTES:,} that are allowed")


def read(uri: str) -> bytes:
    """The bytes at a local path or an ``s3://`` URI; the size is checked before they are read.

    Raises:
        BrokenMedia: the file cannot be read, is empty or too large.
    """
    try:
        check_size(files.size(uri))
        return files.read(uri)
    except BrokenMedia as error:
        raise BrokenMedia(f"{uri}: {error}") from error
    except WinnowError as error:
        raise BrokenMedia(str(error)) from error
