"""Append events to the stream: once each, never more than fit, and only then acknowledged.

One script appends a batch, so it is taken whole or not at all. An event with an id of its own (``event_id``) is
appended once: for an hour after it was last sent, sending it again gives the stream's id that it got the first time. An
hour covers the retries of senders over a rollout or an outage, and costs some 200 bytes an event while it lasts.

Before it is acknowledged an event is also kept with its user (:mod:`winnow.store.recent`), whose answers know of it
from then on. On a cluster that is another slot than the stream's, so it is a second step; a sender who is not told that
both were done sends the event again, and what was missing is done then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import RedisCluster as AsyncRedisCluster

from winnow.errors import WinnowError
from winnow.store import keys, recent
from winnow.store.connection import AsyncClient

TIMEOUT_S = 2.0
"""How long Redis may take: a sender is better told to try again than kept waiting."""

REMEMBERED_S = 3600
"""How long an event's id is remembered."""

_REPLICATION_MS = 1000
"""How long replicas may take; less than the timeout, so that the answer says which of the two was missed."""

_FIELDS = ("user_id", "item_id", "event", "timestamp")

_APPEND = """
local stream, most, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local held, new = {}, 0
for position = 2, #KEYS do
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
for position = 2, #KEYS do
  local key, first, duplicate = KEYS[position], 5 * position - 7, 1
  local id = key ~= stream and held[key]
  local fields = {}
  if id then
    redis.call('EXPIRE', key, ttl)
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then fields = entry[2] end
  else
    duplicate = 0
    fields = {'user_id', ARGV[first], 'item_id', ARGV[first + 1], 'event', ARGV[first + 2],
      'timestamp', ARGV[first + 3]}
    if key ~= stream then
      fields[9], fields[10] = 'event_id', ARGV[first + 4]
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
"""An event without an id stands under the stream's own key. That a duplicate's hour begins anew is a write, too:
without one ``WAIT`` would answer for whatever the connection wrote before, and not for the event. Of a duplicate the
fields are those of the first, and none once it has been trimmed: by then every release has applied it."""


class Limits(NamedTuple):
    """What an appended event has to meet.

    Attributes:
        maximum: entries of the stream, 50 to 100 bytes each; what does not fit is refused.
        replicas: replicas of Redis that must hold an event before it is acknowledged.
    """

    maximum: int = 1_000_000
    replicas: int = 0


class Appended(NamedTuple):
    """What became of an event.

    Attributes:
        stream_id: its id in the stream.
        duplicate: whether it was there already.
    """

    stream_id: str
    duplicate: bool


class StreamFull(WinnowError):
    """The stream has no room for the batch; none of it was appended."""


class NotReplicated(WinnowError):
    """The batch was appended, but too few replicas said in time that they hold it."""


async def append(
    client: AsyncClient, events: Sequence[Mapping[str, str | int | None]], limits: Limits
) -> list[Appended]:
    """Append a batch, in order, and keep it where its users' next answers find it.

    Args:
        client: connection to Redis, answering bytes.
        events: ``user_id``, ``item_id``, ``event``, ``timestamp`` and, if the sender gave it one, ``event_id``.
        limits: what has to be met.

    Raises:
        StreamFull: there is no room.
        NotReplicated: it may be lost with its Redis.
        RedisError: Redis refuses.
        OSError: Redis does not answer in time; what became of the batch is not known. The same may be said of one
            that was appended and not kept for its users: sending it again does what is missing.
    """
    named = [
        keys.EVENTS if event.get("event_id") is None else keys.event_id(str(event["event_id"])) for event in events
    ]
    arguments: list[str | int] = [limits.maximum, REMEMBERED_S]
    for event in events:
        arguments += [*(event[name] or "" for name in _FIELDS), event.get("event_id") or ""]
    async with asyncio.timeout(TIMEOUT_S):
        answers, replicas = await _call(client, [keys.EVENTS, *named], arguments, limits.replicas)
        if not answers:
            raise StreamFull(
                f"the event stream is full: it takes {limits.maximum} entries, and those it holds have not been "
                "exported; `winnow events export` makes room"
            )
        if replicas < limits.replicas:
            raise NotReplicated(
                f"{replicas} of {limits.replicas} replicas confirmed within {_REPLICATION_MS} ms; the events are "
                "stored, but may be lost with this Redis. Sending them again is safe where they have an event_id"
            )
        stored = ((stream_id, dict(zip(flat[::2], flat[1::2], strict=True))) for stream_id, _, flat in answers if flat)
        await recent.remember(client, stored)
    return [Appended(stream_id.decode(), bool(duplicate)) for stream_id, duplicate, _ in answers]


async def _call(
    client: AsyncClient, names: Sequence[str], arguments: Sequence[str | int], replicas: int
) -> tuple[Sequence[Any], int]:
    """Run the script, and wait for replicas on the same connection: ``WAIT`` knows of that one's writes only."""
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
    # Sent on to another node, the script ran where nobody waited.
    return answers, int(confirmed) if client.get_node_from_key(keys.EVENTS) is owner else 0
