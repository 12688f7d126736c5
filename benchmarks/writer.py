"""``python -m benchmarks.writer URL WRITER EACH``: append a writer's share of the events, one by one.

A process of its own for each of several writers, so it imports no more than it needs.
"""

import sys

from redis import Redis

from winnow.store.keys import EVENTS

CROWD = 40
"""Users that all writers' events are about."""

ITEMS = 300
HAPPENED = 1_900_000_000_000


def main() -> None:
    """Write."""
    url, writer, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Redis.from_url(url) as client:
        for number in range(writer * each, (writer + 1) * each):
            client.xadd(
                EVENTS,
                {
                    "user_id": f"crowd-{number % CROWD}",
                    "item_id": f"item-{number % ITEMS + 1}",
                    "event": ("view", "buy")[number % 3 == 0],
                    "timestamp": HAPPENED + number,
                },
            )


if __name__ == "__main__":
    main()
