"""``python -m tests.support.sidecar.event_producer URL PRODUCER EACH``: append a share of the events, one by one.

Every producer is a process of its own, so this module imports only what it needs.
"""

import sys

from redis import Redis

from winnow.store.keys import EVENTS

USERS = 40
"""Users of all producers' events."""

ITEMS = 300
FIRST_MS = 1_900_000_000_000


def main() -> None:
    """Append the events."""
    url, producer, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Redis.from_url(url) as client:
        for number in range(producer * each, (producer + 1) * each):
            client.xadd(
                EVENTS,
                {
                    "user_id": f"crowd-{number % USERS}",
                    "item_id": f"item-{number % ITEMS + 1}",
                    "event": ("view", "buy")[number % 3 == 0],
                    "timestamp": FIRST_MS + number,
                },
            )


if __name__ == "__main__":
    main()
