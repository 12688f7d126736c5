"""Writes that succeed only while a file is as the writer knows it, locally and on S3."""

import fcntl
import os
import uuid
from pathlib import Path

from winnow.errors import WinnowError
from winnow.files import S3, client, place, reaching, sync, write

_PRECONDITION_FAILED = "PreconditionFailed"
_IN_FLIGHT = "ConditionalRequestConflict"
_ATTEMPTS = 10


class FileChanged(WinnowError):
    """A file has another content than its writer read."""


def exchange(address: str, before: bytes | None, after: bytes) -> None:
    """Write a file in one step if its content is still what the writer read: of several writers, one succeeds.

    Args:
        address: the file. A local one needs a file system with ``flock``.
        before: the content that the writer read; ``None`` where there was no file.
        after: the new content.

    Raises:
        FileChanged: the file has another content, or exists though ``before`` is ``None``.
        WinnowError: the file cannot be written.
    """
    with reaching(address):
        if address.startswith(S3):
            _exchange_object(address, before, after)
            return
        path = Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The kernel releases the lock of a killed writer. The lock file stays: removing it would let two writers in.
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (path.read_bytes() if path.exists() else None) != before:
                raise _changed(address)
            write(address, after)


def create(address: str, content: bytes) -> bool:
    """Write a file in one step, unless it exists; of several writers at once, one succeeds.

    Returns:
        Whether this call wrote it.

    Raises:
        WinnowError: the file cannot be written.
    """
    with reaching(address):
        if address.startswith(S3):
            return _put_if(address, content, IfNoneMatch="*")
        path = Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}.partial")
        try:
            partial.write_bytes(content)
            os.link(partial, path)
        except FileExistsError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        sync(path.parent)
        return True


def _exchange_object(address: str, before: bytes | None, after: bytes) -> None:
    condition = {"IfNoneMatch": "*"}
    if before is not None:
        held = client().get_object(**place(address))
        if held["Body"].read() != before:
            raise _changed(address)
        condition = {"IfMatch": held["ETag"]}
    if not _put_if(address, after, **condition):
        raise _changed(address)


def _put_if(address: str, content: bytes, **condition: str) -> bool:
    """Write an object on a condition; whether the condition held."""
    from botocore.exceptions import ClientError

    for attempt in range(_ATTEMPTS):
        try:
            client().put_object(**place(address), Body=content, **condition)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == _PRECONDITION_FAILED:
                return False
            # Another conditional write to the same key is in flight; S3 asks for a repetition.
            if code != _IN_FLIGHT or attempt == _ATTEMPTS - 1:
                raise
        else:
            return True
    raise AssertionError("the last attempt returns or raises")


def _changed(address: str) -> FileChanged:
    return FileChanged(f"{address} was changed by another process in the meantime: repeat the command")
