"""``winnow skew`` on the impressions of the running stack."""

import json

from redis import Redis

from tests.support.until import until
from winnow.evaluation.skew import differing
from winnow.feedback.impressions import sampled
from winnow.store.keys import IMPRESSIONS


def test_served_features_are_those_of_the_release(served) -> None:
    kept = [f"request-{number}" for number in range(200) if sampled(f"request-{number}")]
    users = served.release.array("user_ids")[: len(kept) - 1].tolist()
    for user, request_id in zip([*users, "someone-new"], kept, strict=True):
        served.recommend(user, request_id=request_id)
    redis = Redis(port=served.ports.redis)
    until(lambda: redis.xrevrange(IMPRESSIONS, count=1)[0][1][b"request_id"] == kept[-1].encode(), 30)
    checked = served.winnow("skew", "--json", f"--limit={len(kept)}")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    report = json.loads(checked.stdout)
    assert report["impressions"] == len(kept)
    assert differing(report) == []
    prices = next(feature for feature in report["features"] if feature["feature"] == "item.price")
    assert prices["compared"] + sum(report["not_checked"].values()) == 10 * len(kept)
    assert prices["compared"] > 0
    table = served.winnow("skew")
    assert table.returncode == 0
    assert "item.popularity_7d" in table.stdout
