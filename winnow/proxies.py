"""Which calls leave this process through a proxy: none to this machine, all others as the environment says.

gRPC, botocore, requests and urllib all read ``http_proxy`` and its relatives, and send even what is meant for
127.0.0.1 to the proxy, which knows no such server. A Triton or an S3 elsewhere may well be behind one.
"""

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NAMES = ("no_proxy", "NO_PROXY")
_UNBOUNDED = -1

Options = list[tuple[str, int]]
"""Options of a gRPC channel."""

DIRECT: Options = [("grpc.enable_http_proxy", 0)]
"""For a channel that no proxy may have."""


def is_loopback(address: str) -> bool:
    """Whether ``HOST`` or ``HOST:PORT`` is this machine's loopback, by name or by number."""
    try:
        host = urlsplit(f"//{address}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def channel_options(address: str) -> Options:
    """What a gRPC channel to ``HOST:PORT`` needs so that loopback goes directly."""
    return DIRECT if is_loopback(address) else []


def inference_client(address: str, options: Options | None = None) -> "InferenceServerClient":
    """A gRPC client of an Open Inference server; close it after use.

    Args:
        address: ``HOST:PORT``.
        options: of its channel (default: :func:`channel_options`).
    """
    # Not above: the transformer cannot import it (see recommender_transformer.backends.triton).
    from tritonclient.grpc import InferenceServerClient

    # Options replace the client's own, which bound no message.
    sizes = [(f"grpc.max_{way}_message_length", _UNBOUNDED) for way in ("send", "receive")]
    return InferenceServerClient(
        address, channel_args=[*sizes, *(channel_options(address) if options is None else options)]
    )


def bypass_loopback() -> None:
    """Take loopback out of the environment's proxies, for this process and those that it starts.

    For the libraries that decide by ``no_proxy`` alone (botocore, requests, urllib). Processes call it as they begin.
    """
    named = next((os.environ[name] for name in _NAMES if os.environ.get(name)), "")
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    # "*" counts only where it stands alone.
    if hosts != ["*"]:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    # Some read the one, some the other, and some prefer the first.
    for name in _NAMES:
        os.environ[name] = ",".join(hosts)
