"""Files that are there whole or not at all, in a local folder or on S3 (``s3://bucket/prefix``).

Credentials, region and endpoint of S3 are the standard AWS ones (``AWS_ENDPOINT_URL`` included).
"""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from winnow.errors import WinnowError

S3 = "s3://"

_ONE_SESSION = Lock()


def s3() -> Any:
    """The S3 functions of awswrangler, with one session for the process; any thread may call them.

    Left alone, awswrangler makes a session for every call, which takes longer than reading a small object does.
    """
    import awswrangler  # imports pandas, which only work with S3 needs
    import boto3

    with _ONE_SESSION:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
            # A session may be used by several threads only once it has made its first client.
            boto3.client("s3")
    return awswrangler.s3


def inside(folder: str, *parts: str) -> str:
    """The address of something in a folder."""
    return "/".join([folder.rstrip("/"), *parts])


def listed(folder: str, ending: str) -> list[str]:
    """The addresses of a folder's files with that ending, sorted; none where there is no such folder.

    Raises:
        WinnowError: the place cannot be reached.
    """
    with _reaching(folder):
        if folder.startswith(S3):
            return sorted(s3().list_objects(f"{folder.rstrip('/')}/", suffix=ending))
        if not Path(folder).exists():
            return []
        # What a killed writer left behind has another ending.
        return sorted(str(path) for path in Path(folder).iterdir() if path.name.endswith(ending))


def read(address: str) -> bytes:
    """A file's bytes.

    Raises:
        WinnowError: it is not there, or cannot be reached.
    """
    with _reaching(address):
        if not address.startswith(S3):
            return Path(address).read_bytes()
        content = io.BytesIO()
        s3().download(address, content, use_threads=False)
        return content.getvalue()


def write(address: str, content: bytes) -> None:
    """Write a file at once: whoever lists the folder sees all of it or nothing, even if the writer is killed.

    Raises:
        WinnowError: the place cannot be written.
    """
    with _reaching(address):
        if address.startswith(S3):
            # An object appears when its upload has ended.
            s3().upload(io.BytesIO(content), address, use_threads=False)
            return
        path = Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}.partial")
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make sure that a name outlives a loss of power, as the content does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    if not address.startswith(S3):
        try:
            yield
        except OSError as error:
            raise WinnowError(f"{address}: {error.strerror or error}; correct the place or its permissions") from error
        return
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise WinnowError(
            f"{address} cannot be reached: {error}. Check the name, the credentials, the region and AWS_ENDPOINT_URL."
        ) from error
