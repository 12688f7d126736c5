"""Forgets changes that the data of every published release contained."""

from typing import Any

from winnow.catalog.change import position
from winnow.store.connection import Client
from winnow.store.keys import CATALOG_READ, LATEST_CHANGES, overlay

_BATCH = 500

_FORGET = """
local forgotten = 0
for place = 2, #KEYS do
  local version = ARGV[place - 1]
  redis.call('XDEL', KEYS[1], version)
  if redis.call('HGET', KEYS[place], 'version') == version then
    redis.call('DEL', KEYS[place])
    forgotten = forgotten + 1
  end
end
return forgotten
"""


def prune(client: Client) -> int:
    """Delete the overlays whose changes no release has to derive; returns their number.

    Raises:
        RedisError: Redis does not answer.
    """
    read: Any = client.hvals(CATALOG_READ)
    if not read:
        return 0
    needed = min((version.decode() for version in read), key=position)
    forgotten = 0
    while position(needed) > (0, 0):
        entries: Any = client.xrange(LATEST_CHANGES, "-", needed, count=_BATCH)
        if not entries:
            break
        places = [overlay(fields[b"item_id"].decode()) for _, fields in entries]
        versions = [entry.decode() for entry, _ in entries]
        forgotten += int(client.eval(_FORGET, 1 + len(places), LATEST_CHANGES, *places, *versions))
    return forgotten
