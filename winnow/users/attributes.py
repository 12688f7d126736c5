"""The attributes of users that were changed since the release's data was read.

The hash ``{u:USER}:attributes`` has the given value of each changed column, and outlives releases. A release's row is
its own row with these columns replaced. :meth:`Attributes.refresh` writes it: from the whole hash, so that it can be
repeated and run by several processes, and only if the hash has not changed meanwhile.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from winnow.erasures.ledger import moment_of
from winnow.erasures.tombstone import tombstone_key
from winnow.features.row import UserRowEncoder
from winnow.release import Release
from winnow.store import keys as names
from winnow.store.bulk import Command, send
from winnow.store.connection import Client
from winnow.store.keys import Keys
from winnow.users.changes import append_attributes

Value = str | list[str] | float | None
"""A column's value: text or several for a categorical one, a number for a numeric one; ``None`` clears it."""

_VERSION = b""
"""Field of the hash that counts its changes; no column has this name."""

_CHANGE = """
local gone = redis.call('GET', KEYS[2])
if gone and tonumber(string.match(gone, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
if #ARGV > 1 then redis.call('HSET', KEYS[1], unpack(ARGV, 2)) end
redis.call('HINCRBY', KEYS[1], '', 1)
return 1
"""
"""Changes nothing that an erasure or a merge has removed since the change was appended to the stream."""

_REPLACE = """
if redis.call('HGET', KEYS[1], '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""

_SCANNED = 1000
_AT_ONCE = 200


class Attributes:
    """Reads and changes the attributes of a release's users.

    Args:
        client: blocking connection to Redis that returns bytes.
        release: the release, whose rows are kept true.

    Attributes:
        encoder: encodes rows.
        keys: the release's keys.
    """

    def __init__(self, client: Client, release: Release) -> None:
        self._client = client
        self.encoder = UserRowEncoder(release)
        self.keys = Keys(release.manifest.number)
        self._dtype = release.schema.user_dtype

    def change(self, changes: Sequence[tuple[str, Mapping[str, Value]]]) -> None:
        """Change the given columns of users; the others keep their values.

        Raises:
            ChangesFull: the stream of changes is full; nothing was changed.
            RedisError: Redis does not answer; changing the same again is safe.
        """
        entries = append_attributes(self._client, [(user_id, orjson.dumps(dict(given))) for user_id, given in changes])
        self.override(
            [(user_id, given, moment_of(entry)) for (user_id, given), entry in zip(changes, entries, strict=True)]
        )

    def override(self, changes: Sequence[tuple[str, Mapping[str, Value], int]]) -> None:
        """Write columns to the hashes of users, unless these are gone since a moment, and then the rows."""
        commands: list[Command] = []
        for user_id, given, at_ms in changes:
            flat = (part for name, value in given.items() for part in (name, orjson.dumps(value)))
            commands.append(("EVAL", _CHANGE, 2, names.attributes(user_id), tombstone_key(user_id), at_ms, *flat))
        send(self._client, commands)
        self.refresh(list(dict.fromkeys(user_id for user_id, _, _ in changes)))

    def refresh(self, user_ids: Sequence[str]) -> None:
        """Write the rows of users whose attributes were changed; those of others stay."""
        for start in range(0, len(user_ids), _AT_ONCE):
            left: Sequence[str] = user_ids[start : start + _AT_ONCE]
            while left:
                left = self._refresh(left)

    def refresh_all(self) -> int:
        """Write the rows of all users whose attributes were ever changed; returns their number."""
        count = 0
        batch: list[str] = []
        pattern = names.attributes("*")
        for key in self._client.scan_iter(match=pattern, count=_SCANNED):
            batch.append(key.decode().removeprefix("{u:").removesuffix("}:attributes"))
            if len(batch) == _AT_ONCE:
                self.refresh(batch)
                count, batch = count + len(batch), []
        self.refresh(batch)
        return count + len(batch)

    def have_rows(self, user_ids: Sequence[str]) -> list[bool]:
        """Whether the release has a row of each user."""
        return [row is not None for row, _ in self._read(user_ids)]

    def effective(self, user_ids: Sequence[str]) -> list[dict[str, Value]]:
        """The value of every declared column of each user: the changed one, or the row's."""
        return [self._effective(row, held) for row, held in self._read(user_ids)]

    def row_of(self, packed: bytes | None) -> np.void | None:
        """The row in a value of Redis; ``None`` where it is not a row of the release."""
        if packed is None or len(packed) != self._dtype.itemsize:
            return None
        row: np.void = np.frombuffer(packed, self._dtype)[0]
        return row

    def _effective(self, row: np.void | None, held: Mapping[bytes, bytes]) -> dict[str, Value]:
        found: dict[str, Value] = dict.fromkeys((*self.encoder.categorical, *self.encoder.numeric))
        if row is not None:
            for name, values in self.encoder.choices_of(row).items():
                found[name] = values[0] if len(values) == 1 else values or None
            found |= self.encoder.numbers_of(row)
        return found | {name: value for name, value in _decoded(held).items() if name in found}

    def _read(self, user_ids: Sequence[str]) -> list[tuple[np.void | None, dict[bytes, bytes]]]:
        pipe = self._client.pipeline(transaction=False)
        for user_id in user_ids:
            pipe.get(self.keys.user_row(user_id))
            pipe.hgetall(names.attributes(user_id))
        replies = pipe.execute()
        return [(self.row_of(row), held) for row, held in zip(replies[::2], replies[1::2], strict=True)]

    def _refresh(self, user_ids: Sequence[str]) -> list[str]:
        """Write rows once; returns the users whose attributes changed meanwhile."""
        commands: dict[str, Command] = {}
        for user_id, (row, held) in zip(user_ids, self._read(user_ids), strict=True):
            if not held:
                continue
            new = self._row(row, _decoded(held))
            if row is None or new.tobytes() != row.tobytes():
                both = (names.attributes(user_id), self.keys.user_row(user_id))
                commands[user_id] = ("EVAL", _REPLACE, 2, *both, held.get(_VERSION, b""), new.tobytes())
        replies = send(self._client, list(commands.values()))
        return [user_id for user_id, done in zip(commands, replies, strict=True) if not done]

    def _row(self, row: np.void | None, values: Mapping[str, Value]) -> np.void:
        choices = {name: texts(values[name]) for name in self.encoder.categorical if name in values}
        numbers = {name: number(values[name]) for name in self.encoder.numeric if name in values}
        return self.encoder.replaced(row, choices, numbers)


def texts(value: Value) -> list[str]:
    """The values of a categorical column; none where it is empty, or was a number in another release."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, str) and value else []


def number(value: Value) -> float:
    """The number of a numeric column; NaN where it is unknown, or was a text in another release."""
    return float(value) if isinstance(value, int | float) else math.nan


def _decoded(held: Mapping[bytes, bytes]) -> dict[str, Value]:
    return {name.decode(): orjson.loads(value) for name, value in held.items() if name != _VERSION}
