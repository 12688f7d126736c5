"""200 hostile pictures and sounds: each gets a 4xx that names its field, and the server's memory does not grow."""

import httpx

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest, serving
from tests.support.faults.hostile_media import (
    COUNT,
    RSS_MB,
    Call,
    hostile_calls,
    refused,
    resident_mb,
    send,
    valid_call,
)
from winnow import protocols


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and send the calls.

    Raises:
        WinnowError: there is no release, or it has no encoders.
    """
    with serving(newest()) as ports, protocols.http(ports.http) as endpoint:
        # The first valid calls allocate the decoders' buffers: they are not growth.
        for _ in range(10):
            send(endpoint, valid_call())
        before = resident_mb(endpoint)
        answered = [refused(call, send(endpoint, call)) for call in hostile_calls()]
        growth = resident_mb(endpoint) - before
        plain = Call("plain", "", b'{"instances": [{"user_id": "someone"}]}')
        status = send(endpoint, plain).status_code
    return [
        row("hostile inputs, answered 4xx by the name of the field", sum(answered), "of 200", f">= {COUNT}"),
        row("hostile inputs, growth of the server's memory", growth, "MB", f"<= {RSS_MB}"),
        row("hostile inputs, a plain request is answered afterwards", float(status == httpx.codes.OK), "", ">= 1"),
    ]
