"""Add a source of promoted items to the funnel, and ask it with the Redis and the Triton of the running stack."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recommender_transformer import OnlineStore, Pipeline, Query, Runner, TritonModels, recommender
from winnow import home
from winnow.local import redis
from winnow.local.stack_state import running
from winnow.ranking.context import NOTHING, SourceList
from winnow.release import Release
from winnow.request import Answer, RecommendRequest


class Promoted:
    """Items that a campaign promotes. They are ranked like any other candidate, and seen ones are filtered.

    Args:
        items: item indices, the most important first.
    """

    name = "promoted"
    needs: tuple[str, ...] = ()

    def __init__(self, items: Sequence[int]) -> None:
        scores = np.linspace(1, 0, len(items), endpoint=False, dtype=np.float32)
        self._list = SourceList(np.array(items, np.int32), scores)

    def enabled(self, query: Query) -> bool:
        """For every request."""
        return True

    def find(self, query: Query) -> SourceList:
        """The promoted items."""
        return self._list

    def fallback(self, query: Query) -> SourceList:
        """No candidates."""
        return NOTHING


def promoting(release: Release, store: OnlineStore, models: TritonModels, items: Sequence[str]) -> Pipeline:
    """The release's funnel with one more source."""
    pipeline = recommender(release, store, models)
    sources = (*pipeline.sources, Promoted(pipeline.catalog.indices(items).tolist()))
    return replace(pipeline, sources=sources, side_effects=())


async def recommend(user: str, items: Sequence[str]) -> Answer:
    """Ask the extended funnel once."""
    stack = running()
    if stack is None:
        raise SystemExit("no stack runs in this home: start one with `winnow up`")
    release = Release.open(home.home() / "releases" / str(stack.release))
    store = OnlineStore(release, redis.url(stack.ports.redis))
    try:
        models = TritonModels(f"127.0.0.1:{stack.ports.triton_grpc}", stack.release)
        runner = Runner(promoting(release, store, models, items), store.cold_start_state, deadline_ms=5000)
        request = RecommendRequest(user_id=user, k=100, debug=True)
        [query] = await runner.admit([request], "example")
        return await runner.recommend(query)
    finally:
        await store.close()


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("user", help="An id of a user.")
    parser.add_argument("items", nargs="+", help="Ids of the promoted items.")
    args = parser.parse_args()
    answer = asyncio.run(recommend(args.user, args.items))
    explained = {entry["item_id"]: entry for entry in answer["trace"]["candidates"]}
    for item in args.items:
        entry = explained[item]
        place = (
            f"position {entry['position'] + 1}"
            if "position" in entry
            else entry.get("reason", "not among the first 100")
        )
        print(f"{item}: named by {', '.join(entry['sources'])}; {place}")


if __name__ == "__main__":
    main()
