"""Read the bytes of a picture or a sound, wherever the catalog keeps it."""

import io
from pathlib import Path

from winnow.errors import WinnowError


class BrokenMedia(WinnowError):
    """A picture or sound that cannot be read or decoded; the message says which and why."""


def read(uri: str) -> bytes:
    """The bytes at a local path or an ``s3://`` URI.

    Raises:
        BrokenMedia: there is nothing readable there.
    """
    if not uri.startswith("s3://"):
        try:
            return Path(uri).read_bytes()
        except OSError as error:
            raise BrokenMedia(f"{uri}: {error.strerror or error}") from error

    import awswrangler  # imports pandas: only catalogs on S3 pay for it
    from botocore.exceptions import BotoCoreError, ClientError

    content = io.BytesIO()
    try:
        awswrangler.s3.download(uri, content)
    except (BotoCoreError, ClientError, awswrangler.exceptions.NoFilesFound) as error:
        raise BrokenMedia(f"{uri}: {error}") from error
    return content.getvalue()
