"""Proxies: calls to this machine bypass them, all others follow the environment.

gRPC, botocore, requests and urllib read ``http_proxy`` and its relatives, and send even calls to 127.0.0.1 to the
proxy, which cannot reach this machine's servers. A remote Triton or S3 may well be behind a proxy.
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
"""Options of a gRPC channel, by name."""

DIRECT: Options = [("grpc.enable_http_proxy", 0)]
"""Options of a channel that bypasses every proxy."""


def is_loopback(address: str) -> bool:
    """Whether ``HOST`` or ``HOST:PORT`` is this machine's loopback, by name or by number."""
    try:
        host = urlsplit(f"//{address}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def channel_options(address: str) -> Options:
    """Options of a gRPC channel to ``HOST:PORT``, which bypass proxies where it is loopback."""
    return DIRECT if is_loopback(address) else []


def inference_client(address: str, options: Options | None = None) -> "InferenceServerClient":
    """A gRPC client of an Open Inference server; close it after use.

    Args:
        address: ``HOST:PORT``.
        options: of the channel (default: :func:`channel_options`).
    """
    # Not at the top: the transformer cannot import it (see recommender_transformer.backends.predictor.triton).
    from tritonclient.grpc import InferenceServerClient

    # Given options replace the client's defaults, under which messages have no size limit.
    sizes = [(f"grpc.max_{way}_message_length", _UNBOUNDED) for way in ("send", "receive")]
    return InferenceServerClient(
        address, channel_args=[*sizes, *(channel_options(address) if options is None else options)]
    )


def bypass_loopback() -> None:
    """Exempt loopback from the environment's proxies, for this process and its children.

    botocore, requests and urllib decide by ``no_proxy`` alone. Processes call this function when they start.
    """
    named = next((os.environ[name] for name in _NAMES if os.environ.get(name)), "")
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    # "*" counts only where it stands alone.
    if hosts != ["*"]:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    # Libraries read the one or the other, or prefer the first.
    for name in _NAMES:
        os.environ[name] = ",".join(hosts)
