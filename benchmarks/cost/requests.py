"""Requests of all kinds, drawn from a fixed seed."""

import random
from collections.abc import Callable

from benchmarks.common.stack import active_users
from tests.support.media import picture, sound
from winnow.protocols import Instance
from winnow.release import Release

_WORDS = ("a small red lamp", "star wars", "comedy 1995", "quiet", "something for two children, in the evening")
_COLOURS = ("red", "navy", "gold", "white")
_DIVERSITIES = (0.0, 0.25, 0.5, 1.0)
"""These are exact in 32 bits, as the tensors have them."""


def drawn(release: Release, count: int, seed: int = 16) -> list[Instance]:
    """As many requests, of every kind in turn; the number of items goes from 1 to 100.

    Args:
        release: whose users, items, categories, event types and encoders the requests name.
        count: number of requests.
        seed: of the draws.
    """
    draw = random.Random(seed)  # noqa: S311
    users = active_users(release, count)
    items: list[str] = release.strings("item_ids")[1:].tolist()
    category = next(feature for feature in release.schema.item if feature.kind == "categorical")
    # Code 0 is "no category".
    categories = release.vocabularies[category.name][1:]
    events = release.schema.events
    popular = [items[item - 1] for item in release.array("popular")[:200].tolist()]

    def user() -> Instance:
        return {"user_id": draw.choice(users)}

    kinds: list[Callable[[], Instance]] = [
        user,
        lambda: {"user_id": f"stranger-{draw.randrange(10**6)}"},
        lambda: user() | {"filters": {"exclude_items": draw.sample(popular, min(len(popular), draw.choice((1, 50))))}},
        lambda: user() | {"repeats": draw.choice(("hide", "allow", "demote"))},
        lambda: user() | {"objectives": {draw.choice(events): draw.choice((0.0, 0.5, 3.0))}},
        lambda: user() | {"diversity": draw.choice(_DIVERSITIES)},
    ]
    if categories:
        kinds.append(lambda: user() | {"filters": {"categories": draw.sample(categories, min(len(categories), 2))}})
    if "text_encoder" in release.manifest.models:
        kinds += [lambda: {"query": {"text": draw.choice(_WORDS)}}]
        kinds += [lambda: user() | {"query": {"text": draw.choice(_WORDS)}}]
    if "image_encoder" in release.manifest.models:
        kinds.append(lambda: {"query": {"image": picture(draw.choice(_COLOURS))}})
    if "audio_encoder" in release.manifest.models:
        kinds.append(lambda: {"query": {"audio": sound(draw.uniform(200, 3000))}})
    return [kinds[n % len(kinds)]() | {"k": draw.choice((1, 5, 10, 10, 37, 100))} for n in range(count)]
