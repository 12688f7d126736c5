"""The live weights of a release's event types: a Redis hash, type -> weight as text.

They replace the release's own weights, its event types' values, until they are removed; types that the hash lacks keep
theirs. `winnow objectives` writes the hash, and every transformer of the release reads it every few seconds.
"""

from collections.abc import Collection, Mapping

from winnow.fields import is_weight
from winnow.store.connection import Client
from winnow.store.keys import Keys


def decode(entries: Mapping[bytes, bytes], types: Collection[str]) -> tuple[dict[str, float], list[str]]:
    """Parse the hash.

    Args:
        entries: the result of ``HGETALL``.
        types: the release's event types.

    Returns:
        Type -> weight, and each entry that is none, as text: its type is not the release's, or its weight is not a
        number within the bound.
    """
    weights: dict[str, float] = {}
    malformed: list[str] = []
    for name, text in entries.items():
        try:
            kind, weight = name.decode(), float(text)
        except ValueError:
            kind, weight = "", 0.0
        if kind in types and is_weight(weight):
            weights[kind] = weight
        else:
            malformed.append(f"{name!r}: {text!r}")
    return weights, malformed


def read(client: Client, release: int, types: Collection[str]) -> dict[str, float]:
    """The live weights; empty without any. Malformed entries are left out."""
    entries: dict[bytes, bytes] = client.hgetall(Keys(release).objectives)  # type: ignore[assignment]
    return decode(entries, types)[0]


def write(client: Client, release: int, weights: Mapping[str, float]) -> None:
    """Set the live weights of the given types; the others stay."""
    client.hset(Keys(release).objectives, mapping={name: repr(float(weight)) for name, weight in weights.items()})


def reset(client: Client, release: int) -> None:
    """Remove all live weights: the release's own apply again."""
    client.delete(Keys(release).objectives)
