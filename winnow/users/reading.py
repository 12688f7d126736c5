"""What Redis holds of a user, in words: attributes, features, history, filters, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from winnow.bloom.categories import CategoryFilter
from winnow.bloom.seen import SeenFilter
from winnow.release import Release
from winnow.store import history, recent_events
from winnow.store import keys as names
from winnow.store.connection import Client
from winnow.store.events import event_codes
from winnow.store.keys import EVENTS, Keys
from winnow.store.shared_state import state_of
from winnow.users.attributes import Attributes

_PER_STEP = 500
_STEPS = 40
"""Steps of one page: 20,000 entries of the stream, some 20 ms of Redis's time."""

_OF_USER = """
local read = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
local found = {}
for _, entry in ipairs(read) do
  for field = 1, #entry[2], 2 do
    if entry[2][field] == 'user_id' and entry[2][field + 1] == ARGV[3] then found[#found + 1] = entry end
  end
end
return {#read, #read > 0 and read[#read][1] or '', found}
"""


def read(client: Client, release: Release, attributes: Attributes, user_id: str, newest: int) -> dict[str, Any]:
    """All that a recommendation for a user starts from.

    Args:
        client: blocking connection to Redis that returns bytes.
        release: the release.
        attributes: of its users.
        user_id: the user.
        newest: number of events of the history.

    Returns:
        ``known``; ``attributes``, column -> value; ``features``, column -> codes or standard score, as the models get
        them; ``history``, the newest events first; ``filters``.

    Raises:
        RedisError: Redis does not answer.
    """
    keys, state = Keys(release.manifest.number), state_of(release)
    pipe = client.pipeline(transaction=False)
    pipe.get(keys.user_row(user_id))
    pipe.get(state.seen(user_id))
    pipe.get(state.categories(user_id))
    pipe.lrange(state.history(user_id), 0, history.KEPT - 1)
    pipe.zrange(names.recent(user_id), 0, -1)
    packed, seen, categories, held, members = pipe.execute()
    [values] = attributes.effective([user_id])
    row = attributes.row_of(packed)
    types = release.schema.events
    known = _newest(held, members, types)
    return {
        "user_id": user_id,
        "known": bool(packed or seen or categories or known),
        "attributes": values,
        "features": {} if row is None else attributes.encoder.features_of(row),
        "history": [_described(entry, types) for entry in known[:newest]],
        "filters": {"seen": _seen(seen), "categories": _categories(categories)},
    }


def events(client: Client, release: Release, user_id: str, most: int, before: str | None) -> dict[str, Any]:
    """A page of a user's events: first those of the history, then older ones that are only in the event stream.

    Args:
        client: blocking connection to Redis that returns bytes.
        release: the release.
        user_id: the user.
        most: number of events of the page.
        before: ``next`` of the page before; ``None`` for the first.

    Returns:
        ``events``, newest first, and ``next``: what the next page begins at, ``None`` on the last one. A page may be
        short, or empty, before the last: it searches a bounded part of the stream.

    Raises:
        RedisError: Redis does not answer.
    """
    state, types = state_of(release), release.schema.events
    pipe = client.pipeline(transaction=False)
    pipe.lrange(state.history(user_id), 0, history.KEPT - 1)
    pipe.zrange(names.recent(user_id), 0, -1)
    held, members = pipe.execute()
    known = _newest(held, members, types)
    place, _, start = (before or "0:+").partition(":")
    first = int(place)
    page = [_described(entry, types) for entry in known[first : first + most]]
    if first + most < len(known):
        return {"events": page, "next": f"{first + most}:+"}
    listed = set(known)
    codes = event_codes(types)
    for _ in range(_STEPS):
        read, last, found = client.eval(_OF_USER, 1, EVENTS, start, _PER_STEP, user_id)
        for position, (stream_id, flat) in enumerate(found):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            code = codes.get(fields[b"event"].decode(), 0)
            if history.encode(int(fields[b"timestamp"]), code, fields[b"item_id"].decode()) in listed:
                continue
            if len(page) == most:
                start = f"({found[position - 1][0].decode()}" if position else start
                return {"events": page, "next": f"{len(known)}:{start}"}
            page.append(_of_stream(stream_id, fields))
        if read < _PER_STEP:
            return {"events": page, "next": None}
        start = f"({last.decode()}"
    return {"events": page, "next": f"{len(known)}:{start}"}


def _newest(held: Sequence[bytes], members: Sequence[bytes], types: Sequence[str]) -> list[bytes]:
    recent = recent_events.decode(members)
    return list(recent_events.merge_into_history(held, recent, event_codes(types), history.KEPT))


def _described(entry: bytes, types: Sequence[str]) -> dict[str, Any]:
    moment, code, item_id = entry.decode().split("|", 2)
    return {"item_id": item_id, "event": types[int(code) - 1], "timestamp": int(moment)}


def _of_stream(stream_id: bytes, fields: dict[bytes, bytes]) -> dict[str, Any]:
    texts = {name.decode(): value.decode() for name, value in fields.items() if name != b"user_id"}
    numbers = {name: orjson.loads(texts[name]) for name in ("timestamp", "amount") if name in texts}
    return texts | numbers | {"stream_id": stream_id.decode()}


def _seen(packed: bytes | None) -> dict[str, Any] | None:
    """The seen filter; ``None`` for a user without one. A filter that cannot be read says why."""
    if packed is None:
        return None
    try:
        windows = SeenFilter.from_bytes(packed).windows
    except ValueError as error:
        return {"unreadable": str(error)}
    missed = 1.0
    for window in windows.values():
        missed *= 1.0 - window.false_positive_rate
    return {
        "items": sum(map(len, windows.values())),
        "bits": sum(window.bits[0] for window in windows.values()),
        "bits_set": sum(window.bits[1] for window in windows.values()),
        "false_positive_rate": 1.0 - missed,
        "windows": [
            {"until_ms": end * 1000, "items": len(window), "layers": window.depth, "fill": window.fill}
            for end, window in sorted(windows.items())
        ],
    }


def _categories(packed: bytes | None) -> dict[str, Any] | None:
    if packed is None:
        return None
    try:
        touched = CategoryFilter.from_bytes(packed)
    except ValueError as error:
        return {"unreadable": str(error)}
    bits, ones = touched.bits
    rate = touched.false_positive_rate
    return {"categories": len(touched), "bits": bits, "bits_set": ones, "false_positive_rate": rate}
