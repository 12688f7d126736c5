"""A funnel in this process, with its own connections and memory, as a transformer has them."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from winnow.feedback.append import AppendOptions, append
from winnow.request import Answer, RecommendRequest


@dataclass(frozen=True)
class Transformer:
    """A funnel and its store.

    Attributes:
        runner: the funnel.
        store: its store.
    """

    runner: Runner
    store: OnlineStore

    async def ask(self, user_id: str, request_id: str | None = None, **fields: Any) -> Answer:
        """The answer to one request."""
        request = RecommendRequest.model_validate({"user_id": user_id, **fields})
        [query] = await self.runner.admit([request], request_id or uuid4().hex)
        return await self.runner.recommend(query)

    async def send(self, happened: dict[str, Any]) -> None:
        """Append an event, as the ``events`` model does."""
        await append(self.store.client, [happened], AppendOptions())
