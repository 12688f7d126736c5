"""What is the order worth? Lists by three weightings, shown to the marketplace's own users.

The users choose, buy and dislike as the generator says, so that items count that the log never showed.
"""

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import serving
from benchmarks.value.endpoint import ask, item_ids
from benchmarks.value.heads import as_rows, some_users
from benchmarks.value.subjects import Marketplace, Subjects
from winnow import protocols

USERS = 1500
K = 10
_SEED = 0


def measure(subjects: Subjects) -> list[Row]:
    """Views, carts, purchases and dislikes per 1,000 impressions by each weighting."""
    marketplace = subjects.marketplace
    schema = marketplace.release.schema
    users = some_users(marketplace, USERS)
    nothing = dict.fromkeys(schema.events, 0.0)
    weightings = {
        "click": nothing | {"view": 1.0},
        "value": dict(zip(schema.events, schema.event_values, strict=True)),
        "purchase": nothing | {"purchase": 1.0},
    }
    rows, bought = [], {}
    with serving(marketplace.release) as ports, protocols.http(ports.http) as endpoint:
        for name, weights in weightings.items():
            lists = [item_ids(answer) for answer in ask(endpoint, users, K, objectives=weights)]
            done = _per_1000(marketplace, users, lists)
            bought[name] = done["purchases"]
            rows += [row(f"ordered by {name}: {what}", value, "per 1,000 impressions") for what, value in done.items()]
    split = f"{USERS} users at the end of the release's log"
    ratio = bought["value"] / bought["click"]
    return [*rows, row(f"purchases, ordered by value / by click ({split})", ratio, "x", ">= 1.1")]


def _per_1000(marketplace: Marketplace, users: list[str], lists: list[list[str]]) -> dict[str, float]:
    shown = as_rows(marketplace, lists)
    verdict = marketplace.judge.ask(marketplace.rows(users), shown, _SEED)
    counted = {
        "views": verdict.viewed,
        "carts": verdict.carted,
        "purchases": verdict.bought,
        "dislikes": verdict.disliked,
    }
    impressions = int((shown >= 0).sum())
    return {what: 1000 * float(count.sum()) / impressions for what, count in counted.items()}
