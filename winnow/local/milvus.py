"""Milvus on this machine: Milvus Lite, a server in Python for small catalogs (package ``milvus-lite``)."""

import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from winnow.errors import WinnowError
from winnow.local.processes import Process
from winnow.milvus.connection import ANSWER_S, connect
from winnow.ports import LOOPBACK


def server(folder: Path, port: int, log: Path) -> Process:
    """A Milvus Lite server with its data in ``folder`` that listens on loopback only.

    Args:
        folder: Folder of the collections, which persist over restarts.
        port: TCP port.
        log: File for its output.

    Raises:
        WinnowError: The package ``milvus-lite`` is not installed.
    """
    if find_spec("milvus_lite") is None or find_spec("pymilvus") is None:
        raise WinnowError(
            "this release's items are in Milvus, and the packages milvus-lite and pymilvus are missing: run `make "
            "setup` (or `pip install 'winnow[local,milvus]'`), or set MILVUS_URL to a Milvus that runs elsewhere"
        )
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-u", "-m", "milvus_lite", "server", f"--data-dir={folder}", f"--host={LOOPBACK}"]
    return Process("milvus", [*command, f"--port={port}"], log=log, ready=lambda: _ready(port))


def url(port: int) -> str:
    """The address of a server started by :func:`server`."""
    return f"http://{LOOPBACK}:{port}"


def check(address: str) -> None:
    """Check that the Milvus that ``MILVUS_URL`` names answers.

    Raises:
        WinnowError: Milvus does not answer.
    """
    try:
        with connect(address) as client:
            client.list_collections(timeout=ANSWER_S)
    except WinnowError as error:
        raise WinnowError(f"{error}; or unset MILVUS_URL to start a local Milvus") from error


def _ready(port: int) -> bool:
    """Whether the server accepts connections, which it does once it has read its data."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
