"""The fingerprint of a data set's files: equal where nothing was written, without reading their content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from winnow import files
from winnow.datasets.readers.cloud import GLUE, glue_tables


def fingerprint(source: str) -> str:
    """The fingerprint of a data set's names, sizes and versions.

    A file's version is its ETag on S3, which follows from the content, and its time of change in a folder. Of a Glue
    database it covers the versions of its tables and the files at their locations. Images and sounds count where they
    are below the data set's folder.

    Args:
        source: folder, ``s3://`` or ``glue://`` address; empty for the generated marketplace.

    Returns:
        A digest as hex; empty where ``source`` is empty, or has no files.

    Raises:
        WinnowError: the address cannot be read.
    """
    if source.startswith(GLUE):
        described: dict[str, str] = {}
        for table, version, location in glue_tables(source):
            described |= {table: version, **files.versions(location)}
    elif source.startswith(files.S3):
        described = files.versions(source)
    else:
        described = _of_folder(Path(source)) if source else {}
    return _digest(described) if described else ""


def _of_folder(folder: Path) -> dict[str, str]:
    return {address.removeprefix(str(folder)): version for address, version in files.versions(str(folder)).items()}


def _digest(described: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(described.items())).encode()).hexdigest()
