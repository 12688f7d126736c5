"""``winnow lists`` on the running stack."""

import numpy as np
from redis import Redis

from winnow.retrieval.offline_lists import LENGTH, decode
from winnow.store.keys import Keys


def test_the_command_writes_a_list_for_every_user_with_a_history(served) -> None:
    release = served.release
    users = release.array("user_ids")[np.flatnonzero(np.diff(release.array("offsets")))].tolist()
    printed = served.winnow("lists", "--hours=1")
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == f"release 1: {len(users)} lists for 1 hours\n"
    redis, keys = Redis(port=served.ports.redis), Keys(1)
    try:
        packed = redis.get(keys.offline_list(users[0]))
        # Items that were added after the release was built, by other tests, are left out.
        assert LENGTH - 50 <= len(decode(packed, release.items)) <= LENGTH
    finally:
        # Other tests compare answers with those of a release without lists. The transformer may have seen that there
        # are some, and looks again after half a minute.
        redis.delete(keys.lists, *map(keys.offline_list, users))


def test_a_time_that_is_none_is_refused_by_its_name(served) -> None:
    refused = served.winnow("lists", "--hours=0")
    assert refused.returncode == 2
    assert "--hours" in refused.stderr
