"""The live business rules: a Redis hash that replaces the rules of every release until it is reset.

It is not part of a release: a campaign goes on when the next release is promoted. Each change gets the next version
number, a reset too, and names the version that it replaces: of two people who change the rules at the same time, the
second is told instead of overwriting what the first wrote. `winnow rules` writes the hash, and every transformer looks
at its version twice a second (:mod:`recommender_transformer.backends.followed.live_rules`).
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from winnow.errors import WinnowError
from winnow.store.connection import Client
from winnow.store.keys import RULES

_WRITE = """
local held = redis.call('HGET', KEYS[1], 'version') or '0'
local live = redis.call('HEXISTS', KEYS[1], 'rules') == 1
if ARGV[1] ~= held and (live or ARGV[1] ~= '') then return 0 end
redis.call('HSET', KEYS[1], 'version', held + 1, 'by', ARGV[2], 'at', ARGV[3])
if ARGV[4] == '' then redis.call('HDEL', KEYS[1], 'rules') else redis.call('HSET', KEYS[1], 'rules', ARGV[4]) end
return held + 1
"""
"""Replaces the rules if their version is the expected one, or if none is expected and there are no live rules."""


class LiveRules(NamedTuple):
    """What the hash holds.

    Attributes:
        version: number of the last change; 0 before the first.
        rules: the rules as JSON; empty without live rules.
        by: who made the last change.
        at: when, milliseconds since the epoch.
    """

    version: int = 0
    rules: str = ""
    by: str = ""
    at: int = 0

    def __str__(self) -> str:
        if not self.version:
            return "no live rules"
        did = "set" if self.rules else "reset"
        at = datetime.fromtimestamp(self.at / 1000, UTC).isoformat(" ", "seconds")
        return f"version {self.version}, {did} by {self.by} at {at}"


class VersionConflict(WinnowError):
    """The rules have another version than the one that was to be replaced."""


def decode(entries: Mapping[bytes, bytes]) -> LiveRules:
    """Parse the hash.

    Args:
        entries: the result of ``HGETALL``.

    Raises:
        ValueError: it has not the form that :func:`write` gives it.
    """
    if not entries:
        return LiveRules()
    texts = {name.decode(): value.decode() for name, value in entries.items()}
    return LiveRules(int(texts["version"]), texts.get("rules", ""), texts["by"], int(texts["at"]))


def read(client: Client) -> LiveRules:
    """What the hash holds.

    Raises:
        WinnowError: it has another form than :func:`write` gives it.
    """
    entries: dict[bytes, bytes] = client.hgetall(RULES)  # type: ignore[assignment]
    try:
        return decode(entries)
    except (ValueError, KeyError) as error:
        raise WinnowError(f"the Redis key {RULES} has another form than `winnow rules` writes: {error!r}") from None


def write(client: Client, rules: str, by: str, replaces: int | None) -> int:
    """Replace the live rules, in one step for all processes.

    Args:
        client: connection to Redis.
        rules: the rules as JSON, checked; empty removes them, so that those of the release apply again.
        by: who does it.
        replaces: the version that is replaced; ``None`` where there are no live rules yet.

    Returns:
        The new version.

    Raises:
        VersionConflict: another version is in force; nothing was changed.
    """
    expected = "" if replaces is None else str(replaces)
    version: int = client.eval(_WRITE, 1, RULES, expected, by, time.time_ns() // 1_000_000, rules)
    if version:
        return version
    held = read(client)
    raise VersionConflict(
        f"the live rules are {held}: look at them with `winnow rules show`, and give --version {held.version} to "
        "replace them"
    )
