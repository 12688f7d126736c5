"""Files in a local folder or on S3 (``s3://bucket/prefix``), read and written whole.

S3 uses the default boto3 session: AWS's standard variables, profiles and roles, and ``AWS_ENDPOINT_URL``.
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from winnow.errors import WinnowError, file_error

S3 = "s3://"

_CHUNK_BYTES = 1 << 20

_CLIENT_LOCK = Lock()
_NOT_FOUND = frozenset({"404", "NoSuchKey"})
_CONFLICTS = frozenset({"ConditionalRequestConflict", "PreconditionFailed"})


class FileMissing(WinnowError):
    """There is no file at an address."""


class FileChanged(WinnowError):
    """A file has another content than its writer read."""


def inside(folder: str, *parts: str) -> str:
    """The address of a file or folder in a folder."""
    return "/".join([folder.rstrip("/"), *parts])


def listed(folder: str, ending: str) -> list[str]:
    """Addresses of the files of a folder whose names have an ending, sorted; empty where the folder is missing.

    Files of subfolders are not listed.

    Raises:
        WinnowError: the folder cannot be read.
    """
    with reaching(folder):
        if folder.startswith(S3):
            return sorted(address for address in _objects(folder, delimiter="/") if address.endswith(ending))
        if not Path(folder).exists():
            return []
        return sorted(str(path) for path in Path(folder).iterdir() if path.name.endswith(ending))


def walk(folder: str) -> list[str]:
    """Addresses of all files below a folder, at any depth, sorted; empty where the folder is missing.

    Raises:
        WinnowError: the folder cannot be read.
    """
    with reaching(folder):
        if folder.startswith(S3):
            return sorted(_objects(folder))
        return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())


def size(address: str) -> int:
    """The number of bytes of a file.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the file cannot be reached.
    """
    with reaching(address):
        if address.startswith(S3):
            return int(_client().head_object(**_place(address))["ContentLength"])
        return Path(address).stat().st_size


def read(address: str) -> bytes:
    """The bytes of a file.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the file cannot be read.
    """
    with reaching(address):
        if address.startswith(S3):
            content: bytes = _client().get_object(**_place(address))["Body"].read()
            return content
        return Path(address).read_bytes()


def sha256(address: str) -> str:
    """SHA-256 of a file of any size, as hex.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the file cannot be read.
    """
    with reaching(address):
        if not address.startswith(S3):
            with Path(address).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        for chunk in _client().get_object(**_place(address))["Body"].iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()


def download(address: str, path: Path) -> None:
    """Copy an S3 object of any size to a local file.

    Raises:
        FileMissing: there is no such object.
        WinnowError: the object cannot be read.
    """
    with reaching(address):
        _client().download_file(**_place(address), Filename=str(path))


def upload(path: Path, address: str) -> None:
    """Copy a local file of any size to S3; readers see all of it or nothing.

    Raises:
        WinnowError: the object cannot be written.
    """
    with reaching(address):
        _client().upload_file(Filename=str(path), **_place(address))


def delete(address: str) -> None:
    """Delete a file, where it exists.

    Raises:
        WinnowError: the file cannot be deleted.
    """
    with reaching(address):
        if address.startswith(S3):
            _client().delete_object(**_place(address))
        else:
            Path(address).unlink(missing_ok=True)


def delete_folder(folder: str) -> None:
    """Delete a folder with all files below it, where it exists.

    Raises:
        WinnowError: the folder cannot be deleted.
    """
    if folder.startswith(S3):
        for address in walk(folder):
            delete(address)
        return
    with reaching(folder):
        if Path(folder).exists():
            shutil.rmtree(folder)


def write(address: str, content: bytes) -> None:
    """Write a file in one step: readers see the old content or all of the new, even if the writer is killed.

    Raises:
        WinnowError: the file cannot be written.
    """
    with reaching(address):
        if address.startswith(S3):
            _client().put_object(**_place(address), Body=content)
            return
        path = Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The ending is its own, so that `listed` leaves out what a killed writer left.
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


def link(file: Path, name: Path) -> Path:
    """Give a local file a second name: a hard link, or a copy where the filesystem has none. Returns ``name``."""
    try:
        name.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, name)
    return name


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turn errors of the file system or of AWS into a sentence that names the address.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the address cannot be reached.
    """
    on_aws = address.startswith((S3, "glue://"))
    aws_errors = _aws_errors() if on_aws else ()
    try:
        yield
    except aws_errors as error:
        if getattr(error, "response", {}).get("Error", {}).get("Code") in _NOT_FOUND:
            raise FileMissing(f"{address}: No such object") from error
        raise WinnowError(
            f"{address} cannot be reached: {error}. Check the name, the credentials, the region and AWS_ENDPOINT_URL."
        ) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not on_aws:
            raise FileMissing(f"{address}: {error.strerror}") from error
        raise file_error(error, address) from error


def _exchange_object(address: str, before: bytes | None, after: bytes) -> None:
    from botocore.exceptions import ClientError

    condition = {"IfNoneMatch": "*"}
    if before is not None:
        held = _client().get_object(**_place(address))
        if held["Body"].read() != before:
            raise _changed(address)
        condition = {"IfMatch": held["ETag"]}
    try:
        _client().put_object(**_place(address), Body=after, **condition)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _CONFLICTS:
            raise _changed(address) from error
        raise


def _changed(address: str) -> FileChanged:
    return FileChanged(f"{address} was changed by another process in the meantime: repeat the command")


def _aws_errors() -> tuple[type[Exception], ...]:
    # The import takes a third of a second, which only work with AWS should spend.
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return Boto3Error, BotoCoreError, ClientError


def _objects(folder: str, delimiter: str = "") -> Iterator[str]:
    bucket, _, prefix = f"{folder.rstrip('/')}/".removeprefix(S3).partition("/")
    pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
    return (f"{S3}{bucket}/{entry['Key']}" for page in pages for entry in page.get("Contents", []))


def _place(address: str) -> dict[str, str]:
    bucket, _, key = address.removeprefix(S3).partition("/")
    return {"Bucket": bucket, "Key": key}


def _client() -> Any:
    """The client of boto3's default session; any thread may use it."""
    import boto3

    # Sessions are not safe for threads, clients are; a client per call would take longer than a small read.
    with _CLIENT_LOCK:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
        return _client_of(boto3.DEFAULT_SESSION)


@lru_cache(maxsize=1)
def _client_of(session: Any) -> Any:
    return session.client("s3")


def _sync(folder: Path) -> None:
    """Make a file's name durable, as its content is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
