"""Read the bytes of a picture or a sound, wherever the catalog keeps it."""

import io
from pathlib import Path

from winnow.errors import WinnowError
from winnow.fields import MAX_MEDIA_BYTES
from winnow.files import s3


class BrokenMedia(WinnowError):
    """A picture or sound that cannot be read or decoded; the message says which and why."""


def check_size(count: int) -> None:
    """Refuse content of no bytes or of more than ``MAX_MEDIA_BYTES``.

    Raises:
        BrokenMedia: it is empty or too large.
    """
    if count == 0:
        raise BrokenMedia("it is empty")
    if count > MAX_MEDIA_BYTES:
        raise BrokenMedia(f"{count:,} bytes are more than the {MAX_MEDIA_BYTES:,} that are read")


def read(uri: str) -> bytes:
    """The bytes at a local path or an ``s3://`` URI; their number is checked before they are read.

    Raises:
        BrokenMedia: there is nothing readable there, or too much.
    """
    try:
        return _read_s3(uri) if uri.startswith("s3://") else _read_file(Path(uri))
    except BrokenMedia as error:
        raise BrokenMedia(f"{uri}: {error}") from error


def _read_file(path: Path) -> bytes:
    try:
        check_size(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise BrokenMedia(error.strerror or str(error)) from error


def _read_s3(uri: str) -> bytes:
    from awswrangler.exceptions import NoFilesFound  # imports pandas: only catalogs on S3 pay for it
    from botocore.exceptions import BotoCoreError, ClientError

    content = io.BytesIO()
    try:
        size = s3().size_objects([uri])[uri]
        if size is None:
            raise BrokenMedia("there is no such object")
        check_size(size)
        s3().download(uri, content)
    except (BotoCoreError, ClientError, NoFilesFound) as error:
        raise BrokenMedia(str(error)) from error
    return content.getvalue()
