"""Append events to the event stream: at most once per ``event_id``, and within the stream's maximum length.

One script appends a batch, so the batch is appended as a whole or not at all. An event with an ``event_id`` is appended
once: until an hour after it was last sent, sending it again returns the stream id of the first time. One hour covers
client retries over a rollout or an outage, at a cost of about 200 bytes per event.

Before events are acknowledged, they are also added to their users' recent events (:mod:`winnow.store.recent_events`),
so that the next recommendation reflects them. On a cluster these keys are in other slots than the stream's, which makes
it a second step. A client that receives no acknowledgement sends the events again, which completes a missing step.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import RedisCluster as AsyncRedisCluster

from winnow.erasures.ledger import MERGED
from winnow.errors import WinnowError
from winnow.store import keys, recent_events
from winnow.store.connection import AsyncClient

TIMEOUT_S = 2.0
"""Time-out of the whole operation, in seconds: the client then retries instead of waiting."""

REMEMBERED_S = 3600
"""Expiry of an ``event_id``, in seconds."""

_REPLICATION_MS = 1000
"""Time-out of ``WAIT``; below the whole time-out, so that the error names the replicas."""

_FIELDS = ("user_id", "item_id", "event", "timestamp", "amount", "event_id", "recommendation_id")

_APPEND = """
local stream, most, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local names = #KEYS - 1
local merged = redis.call('EXISTS', KEYS[#KEYS]) == 1
local function owner(user)
  if not merged then return user end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  for _ = 1, 100 do
    local found = redis.call('HGET', KEYS[#KEYS], user)
    local merge = found and cjson.decode(found)
    if not merge or merge['until_ms'] < now then return user end
    user = merge['into']
  end
  return user
end
local held, new = {}, 0
for position = 2, names do
  local key = KEYS[position]
  if key == stream then
    new = new + 1
  elseif held[key] == nil then
    held[key] = redis.call('GET', key)
    if not held[key] then new = new + 1 end
  end
end
if new > 0 and redis.call('XLEN', stream) + new > most then return {} end
local answers = {}
for position = 2, names do
  local key, first, duplicate = KEYS[position], 7 * position - 11, 1
  local id = key ~= stream and held[key]
  local fields = {}
  if id then
    redis.call('EXPIRE', key, ttl)
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then fields = entry[2] end
  else
    duplicate = 0
    fields = {'user_id', owner(ARGV[first]), 'item_id', ARGV[first + 1], 'event', ARGV[first + 2],
      'timestamp', ARGV[first + 3]}
    for optional, name in ipairs({'amount', 'event_id', 'recommendation_id'}) do
      local value = ARGV[first + 3 + optional]
      if value ~= '' then
        fields[#fields + 1], fields[#fields + 2] = name, value
      end
    end
    id = redis.call('XADD', stream, '*', unpack(fields))
    if key ~= stream then
      redis.call('SET', key, id, 'EX', ttl)
      held[key] = id
    end
  end
  answers[#answers + 1] = {id, duplicate, fields}
end
return answers
"""
"""The last key holds the merged users, whose events are those of the users that they were merged into. An event without
an ``event_id`` is passed with the stream's own key. Extending the expiry of a duplicate is a write,
too: without it, ``WAIT`` would wait for an earlier write of the connection instead of the event. For a duplicate the
script returns the fields of the first event, and none once that was trimmed: every release has then applied it."""


class AppendOptions(NamedTuple):
    """Bounds of the event stream.

    Attributes:
        maximum: maximum length of the stream, in entries of 50 to 100 bytes; a batch that does not fit is refused.
        replicas: replicas of Redis that must confirm an event before it is acknowledged.
    """

    maximum: int = 1_000_000
    replicas: int = 0


class Appended(NamedTuple):
    """The result for an event.

    Attributes:
        stream_id: id of the event in the stream.
        duplicate: whether the event was appended before.
    """

    stream_id: str
    duplicate: bool


class StreamFull(WinnowError):
    """The batch exceeds the stream's maximum length; none of its events was appended."""


class NotReplicated(WinnowError):
    """The batch was appended, but too few replicas confirmed it in time."""


async def append(
    client: AsyncClient,
    events: Sequence[Mapping[str, str | int | float | None]],
    options: AppendOptions,
    refreshing: Collection[str] = (),
) -> list[Appended]:
    """Append a batch in order, and add its events to their users' recent events.

    Args:
        client: connection to Redis that returns bytes.
        events: ``user_id``, ``item_id``, ``event``, ``timestamp`` and optionally ``amount`` (float), ``event_id`` and
            ``recommendation_id`` of each event.
        options: bounds of the stream.
        refreshing: event types after which an item counts as not shown (:mod:`winnow.store.business.shown`).

    Raises:
        StreamFull: the batch exceeds the maximum length; nothing was appended.
        NotReplicated: the batch was appended, but may be lost if this Redis fails.
        RedisError: Redis returns an error.
        OSError: Redis does not answer in time. The batch may or may not have been appended, and may be missing from
            the users' recent events; sending it again completes it.
    """
    named = [
        keys.EVENTS if event.get("event_id") is None else keys.event_id(str(event["event_id"])) for event in events
    ]
    arguments: list[str | int | float] = [options.maximum, REMEMBERED_S]
    for event in events:
        given = (event.get(name) for name in _FIELDS)
        arguments += ["" if value is None else value for value in given]
    async with asyncio.timeout(TIMEOUT_S):
        answers, replicas = await _call(client, [keys.EVENTS, *named, MERGED], arguments, options.replicas)
        if not answers:
            raise StreamFull(
                f"the event stream is full: it takes {options.maximum} entries, and its entries have not been "
                "exported; `winnow events export` makes room"
            )
        if replicas < options.replicas:
            raise NotReplicated(
                f"{replicas} of {options.replicas} replicas confirmed within {_REPLICATION_MS} ms; the events are "
                "stored, but may be lost with this Redis. Sending them again is safe where they have an event_id"
            )
        stored = ((stream_id, dict(zip(flat[::2], flat[1::2], strict=True))) for stream_id, _, flat in answers if flat)
        await recent_events.remember(client, stored, refreshing)
    return [Appended(stream_id.decode(), bool(duplicate)) for stream_id, duplicate, _ in answers]


async def _call(
    client: AsyncClient, names: Sequence[str], arguments: Sequence[str | int | float], replicas: int
) -> tuple[Sequence[Any], int]:
    """Run the script and ``WAIT`` for replicas on one connection: ``WAIT`` covers only its connection's writes."""
    pipe = client.pipeline(transaction=False)
    pipe.eval(_APPEND, len(names), *names, *arguments)
    if not replicas:
        [answers] = await pipe.execute()
        return answers, 0
    if not isinstance(client, AsyncRedisCluster):
        pipe.execute_command("WAIT", replicas, _REPLICATION_MS)
        answers, confirmed = await pipe.execute()
        return answers, int(confirmed)
    await client.initialize()
    owner = client.get_node_from_key(keys.EVENTS)
    pipe.execute_command("WAIT", replicas, _REPLICATION_MS, target_nodes=owner)
    answers, confirmed = await pipe.execute()
    # If the script was redirected to another node, WAIT ran on the wrong one and confirmed nothing.
    return answers, int(confirmed) if client.get_node_from_key(keys.EVENTS) is owner else 0
