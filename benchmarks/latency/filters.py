"""Recommendations with ``filters.where`` beside plain ones, in turns, by the share of the catalog that matches.

Makes its own data: a release of untrained models whose prices are a permutation, so that ``price < x`` matches a known
share. A cold filter is one that no request named before; a warm one was named once.
"""

import itertools
import time
from collections import defaultdict

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, stack
from benchmarks.scale.subjects.untrained_release import HIGHEST_PRICE, CatalogSize, write
from benchmarks.value.subjects import temporary_home
from winnow import protocols
from winnow.items.columns import ItemColumns
from winnow.items.index import ItemIndex

ITEMS, REQUESTS, WARM_UP, K = 100_000, 108, 27, 10
SHARES = (0.001, 0.01, 0.1, 0.9)
_PLAIN = "plain"


def measure(items: int = ITEMS, requests: int = REQUESTS) -> list[Row]:
    """Serve a release, and ask every user in turn plainly and with each filter.

    Args:
        items: items of the release.
        requests: timed requests of each sort.
    """
    times: dict[str, list[float]] = defaultdict(list)
    filled: dict[str, list[bool]] = defaultdict(list)
    with temporary_home() as home:
        release = write(home, CatalogSize(items))
        prices, find = ItemColumns.of(release)["price"], ItemIndex.of(release).find
        users = active_users(release, WARM_UP + requests)
        with stack(release) as running, protocols.http(running.ports.http) as endpoint:
            for turn, user in enumerate(users):
                # Each sort is the first of a user, whose keys and items are not cached yet, equally often.
                sorts = _sorts(turn)
                first = turn % len(sorts)
                for name, bound in sorts[first:] + sorts[:first]:
                    where = {} if bound is None else {"filters": {"where": f"price < {bound!r}"}}
                    request = {"user_id": user, "k": K, "deadline_ms": 5000, **where}
                    started = time.perf_counter()
                    [answer] = protocols.over_http_v1(endpoint, [request])
                    if turn < WARM_UP:
                        continue
                    times[name].append((time.perf_counter() - started) * 1000)
                    shown = find([item["item_id"].encode() for item in answer["items"]])
                    right = bound is None or bool(prices.compare(shown, "<", bound).all())
                    filled[name].append(right and len(shown) == K and not answer["degraded"])
    plain = float(np.median(times[_PLAIN]))
    rows = [row(f"{items:,} items: plain recommendation, p50", plain, "ms")]
    for share, state in itertools.product(SHARES, ("warm", "cold")):
        name = f"{state} filter that matches {100 * share:g} %"
        p50, p90 = np.percentile(times[name], [50, 90])
        target = "<= 2" if state == "warm" else ""
        rows += [
            row(f"{name}: p50", float(p50), "ms"),
            row(f"{name}: p90", float(p90), "ms"),
            row(f"{name}: p50 / plain", float(p50) / plain, "x", target),
            row(f"{name}: answers of {K} matching items", float(np.mean(filled[name])), "share", ">= 1"),
        ]
    return rows


def _sorts(turn: int) -> list[tuple[str, float | None]]:
    """The requests of one turn: their name, and the bound of the price."""
    found: list[tuple[str, float | None]] = [(_PLAIN, None)]
    for share in SHARES:
        bound = HIGHEST_PRICE * share
        found += [
            (f"warm filter that matches {100 * share:g} %", bound),
            # Another number between the same two prices.
            (f"cold filter that matches {100 * share:g} %", bound - (turn + 1) * 1e-9),
        ]
    return found
