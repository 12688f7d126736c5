"""Does a disliked category leave the list? Users dislike three items of the category that they dislike, live."""

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import serving
from benchmarks.value.endpoint import ask, item_ids, send
from benchmarks.value.heads import some_users
from benchmarks.value.subjects import Subjects
from winnow import protocols
from winnow.errors import WinnowError

CANDIDATES = 1500
"""Users who are asked at most; those whose list has the category take part."""

K, DEPTH = 10, 50
LEAST = 2
"""Items of the category in the first 10 of a user who takes part."""

DISLIKES = 3


def measure(subjects: Subjects) -> list[Row]:
    """Share of the planted category in the first 10, before and after three dislikes, without a build.

    Raises:
        WinnowError: there is no user with such a list.
    """
    marketplace = subjects.marketplace
    world = marketplace.world
    users = some_users(marketplace, CANDIDATES)
    aversion = world.people.aversion[marketplace.rows(users)]
    before: list[int] = []
    after: list[int] = []

    def disliked(ids: list[str], category: int) -> list[str]:
        return [
            each
            for each, kind in zip(ids, world.catalog.category[marketplace.rows(ids)], strict=True)
            if kind == category
        ]

    with serving(marketplace.release) as ports, protocols.http(ports.http) as endpoint:
        asked = ask(endpoint, users, DEPTH)
        for user, category, answer in zip(users, aversion.tolist(), asked, strict=True):
            shown = len(disliked(item_ids(answer)[:K], category))
            known = disliked(item_ids(answer), category)
            if shown < LEAST or len(known) < DISLIKES:
                continue
            send(endpoint, user, known[:DISLIKES], "dislike")
            [answer] = ask(endpoint, [user], K)
            before.append(shown)
            after.append(len(disliked(item_ids(answer), category)))
    if not before:
        raise WinnowError(f"no list of {len(users)} users has {LEAST} items of the category that the user dislikes")
    return [
        row(f"users with {LEAST} or more of the first {K} items in the category that they dislike", len(before), ""),
        row("share of that category in their first 10, before", float(np.mean(before)) / K, "share"),
        row("the same after three dislikes", float(np.mean(after)) / K, "share"),
        row("after / before", float(np.sum(after) / np.sum(before)), "x", "<= 0.1"),
    ]
