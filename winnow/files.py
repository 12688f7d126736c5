"""Files in a local folder or on S3 (``s3://bucket/prefix``), read and written whole.

S3 uses the default boto3 session: AWS's standard variables, profiles and roles, and ``AWS_ENDPOINT_URL``.
"""

import base64
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


class FileMissing(WinnowError):
    """There is no file at an address."""


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


def versions(folder: str) -> dict[str, str]:
    """Address -> size and version of every file below a folder: its ETag on S3, in a folder its time of change.

    Raises:
        WinnowError: the folder cannot be read.
    """
    with reaching(folder):
        if folder.startswith(S3):
            return {address: f"{entry['Size']} {entry['ETag']}" for address, entry in _entries(folder)}
        stats = {str(path): path.stat() for path in Path(folder).rglob("*") if path.is_file()}
        return {path: f"{stat.st_size} {stat.st_mtime_ns}" for path, stat in stats.items()}


def size(address: str) -> int:
    """The number of bytes of a file.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the file cannot be reached.
    """
    with reaching(address):
        if address.startswith(S3):
            return int(client().head_object(**place(address))["ContentLength"])
        return Path(address).stat().st_size


def read(address: str) -> bytes:
    """The bytes of a file.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the file cannot be read.
    """
    with reaching(address):
        if address.startswith(S3):
            content: bytes = client().get_object(**place(address))["Body"].read()
            return content
        return Path(address).read_bytes()


def download(address: str, path: Path) -> None:
    """Copy an S3 object of any size to a local file.

    Raises:
        FileMissing: there is no such object.
        WinnowError: the object cannot be read.
    """
    with reaching(address):
        client().download_file(**place(address), Filename=str(path))


def upload(path: Path, address: str) -> None:
    """Copy a local file of any size to S3, with its SHA-256; readers see all of it or nothing.

    Raises:
        WinnowError: the object cannot be written.
    """
    with reaching(address):
        client().upload_file(Filename=str(path), **place(address), ExtraArgs={"ChecksumAlgorithm": "SHA256"})


def sha256(address: str) -> str:
    """SHA-256 of a file, as hex. S3 computed that of an object when it stored it; without one, the object is read.

    Raises:
        FileMissing: there is no such file.
        WinnowError: the file cannot be read.
    """
    with reaching(address):
        if not address.startswith(S3):
            with Path(address).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        known = client().head_object(**place(address), ChecksumMode="ENABLED")
        # The checksum of an object that was uploaded in parts is of the parts' checksums; its ETag has a hyphen.
        if "ChecksumSHA256" in known and "-" not in known["ETag"]:
            return base64.b64decode(known["ChecksumSHA256"]).hex()
        digest = hashlib.sha256()
        for chunk in client().get_object(**place(address))["Body"].iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()


def delete(address: str) -> None:
    """Delete a file, where it exists.

    Raises:
        WinnowError: the file cannot be deleted.
    """
    with reaching(address):
        if address.startswith(S3):
            client().delete_object(**place(address))
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
            client().put_object(**place(address), Body=content)
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
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


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


def _aws_errors() -> tuple[type[Exception], ...]:
    # The import takes a third of a second, which only work with AWS should spend.
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return Boto3Error, BotoCoreError, ClientError


def _objects(folder: str, delimiter: str = "") -> Iterator[str]:
    return (address for address, _ in _entries(folder, delimiter))


def _entries(folder: str, delimiter: str = "") -> Iterator[tuple[str, Any]]:
    bucket, _, prefix = f"{folder.rstrip('/')}/".removeprefix(S3).partition("/")
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
    return ((f"{S3}{bucket}/{entry['Key']}", entry) for page in pages for entry in page.get("Contents", []))


def place(address: str) -> dict[str, str]:
    """Bucket and key of an object, as the arguments of boto3's methods."""
    bucket, _, key = address.removeprefix(S3).partition("/")
    return {"Bucket": bucket, "Key": key}


def client() -> Any:
    """The S3 client of boto3's default session; any thread may use it."""
    import boto3

    # Sessions are not safe for threads, clients are; a client per call would take longer than a small read.
    with _CLIENT_LOCK:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
        return _client_of(boto3.DEFAULT_SESSION)


@lru_cache(maxsize=1)
def _client_of(session: Any) -> Any:
    return session.client("s3")


def sync(folder: Path) -> None:
    """Make a file's name durable, as its content is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
