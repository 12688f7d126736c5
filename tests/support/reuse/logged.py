"""The lists that were logged as impressions."""

from contextlib import closing
from typing import cast

import orjson

from winnow.store.connection import connect
from winnow.store.keys import IMPRESSIONS


def logged(redis_url: str) -> list[list[tuple[str, int, float]]]:
    """Item, position and propensity of every slot of every logged list."""
    with closing(connect(redis_url)) as client:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(IMPRESSIONS))
    return [
        [(item["item_id"], item["position"], item["propensity"]) for item in orjson.loads(fields[b"items"])]
        for _, fields in entries
    ]
