"""S3 through awswrangler, with one session for the process.

Left alone, awswrangler makes a session for every call, which takes longer than reading a small object does.
"""

from threading import Lock
from typing import Any

_ONE = Lock()


def s3() -> Any:
    """The S3 functions of awswrangler; any thread may call them."""
    import awswrangler  # imports pandas: only those who keep things on S3 pay for it
    import boto3

    with _ONE:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
            # A session may be used by several threads only once it has made its first client.
            boto3.client("s3")
    return awswrangler.s3
