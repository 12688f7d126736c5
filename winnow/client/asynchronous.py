"""The client for asyncio."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import httpx

from winnow.client import answers, calls
from winnow.client.calls import Call, Choices, Content, SentEvent, SessionEvent
from winnow.client.connection import RETRIES, TIMEOUT_S, URL, result, settings
from winnow.client.errors import unreachable
from winnow.request import Answer

T = TypeVar("T")


class AsyncWinnow:
    """The client :class:`winnow.client.Winnow` for asyncio: the same methods, each a coroutine.

    >>> import asyncio
    >>> from winnow.client import AsyncWinnow
    >>> async def ask():
    ...     async with AsyncWinnow("http://localhost:8080") as winnow:
    ...         return await winnow.recommend("u00042", k=3)
    >>> len(asyncio.run(ask())["items"])
    3

    Args:
        url: address of the endpoint.
        api_key: an API key or a JSON Web Token, for an endpoint with access control.
        timeout_s: time-out of each attempt, in seconds.
        retries: attempts after the first, for 429 and 503.
    """

    def __init__(
        self, url: str = URL, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S, retries: int = RETRIES
    ) -> None:
        self._http = httpx.AsyncClient(**settings(url, api_key, timeout_s, retries))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ready(self) -> bool:
        """Whether the endpoint answers recommendations."""
        try:
            return (await self._http.get("/v2/models/recommender/ready")).is_success
        except httpx.HTTPError:
            return False

    async def recommend(self, user_id: str, **options: Unpack[Choices]) -> Answer:
        """Items for a user."""
        return await self._send(calls.recommend(user_id=user_id, **options))

    async def recommend_all(self, requests: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Answers to several requests in one call, at most :data:`winnow.request.MAX_INSTANCES`."""
        return await self._send(calls.recommend_all(requests))

    async def next_page(self, answer: Answer, **options: Unpack[Choices]) -> Answer:
        """The items after those of an answer; none of its earlier pages' items is repeated."""
        return await self._send(calls.recommend(recommendation_id=answer["recommendation_id"], **options))

    async def recommend_session(
        self, items: Sequence[SessionEvent], *, user_id: str | None = None, **options: Unpack[Choices]
    ) -> Answer:
        """Items for a visitor's session: the events so far, oldest first; with ``user_id``, after the user's own."""
        return await self._send(calls.recommend(items=items, user_id=user_id, **options))

    async def similar(self, item_id: str, *, user_id: str | None = None, **options: Unpack[Choices]) -> Answer:
        """Items that resemble an item; with ``user_id``, those that also suit the user."""
        return await self._send(calls.recommend(like=item_id, user_id=user_id, **options))

    async def complements(self, item_id: str, *, user_id: str | None = None, **options: Unpack[Choices]) -> Answer:
        """Items that users take together with an item."""
        return await self._send(calls.recommend(like=item_id, relation="complementary", user_id=user_id, **options))

    async def rank(self, item_ids: Sequence[str], *, user_id: str | None = None, **options: Unpack[Choices]) -> Answer:
        """The caller's own list, ranked."""
        return await self._send(calls.recommend(rank=list(item_ids), user_id=user_id, **options))

    async def listed(
        self,
        name: Literal["popular", "trending", "new", "last_seen"],
        *,
        user_id: str | None = None,
        **options: Unpack[Choices],
    ) -> Answer:
        """A list as it is: the popular, trending or new items, or those that a user saw last."""
        return await self._send(calls.recommend(list=name, user_id=user_id, **options))

    async def search(
        self,
        text: str | None = None,
        *,
        image: Content | None = None,
        audio: Content | None = None,
        user_id: str | None = None,
        **options: Unpack[Choices],
    ) -> Answer:
        """Items that resemble a text, an image or a sound; with ``user_id``, those that also suit the user."""
        return await self._send(calls.search(text, image, audio, user_id=user_id, **options))

    async def send_event(self, event: SentEvent) -> answers.StoredEvent:
        """Store an event; the user's next recommendation reflects it."""
        [receipt] = await self._send(calls.send_events([event]))
        return receipt

    async def send_events(self, events: Sequence[SentEvent]) -> list[answers.StoredEvent]:
        """Store several events in order, all or none; at most :data:`winnow.request.MAX_INSTANCES`."""
        return await self._send(calls.send_events(events))

    async def put_item(self, item: Mapping[str, Any]) -> answers.ChangedItem:
        """Add or change an item: the columns that are given change, and ``None`` clears one."""
        [receipt] = await self._send(calls.put_items([item]))
        return receipt

    async def put_items(self, items: Sequence[Mapping[str, Any]]) -> list[answers.ChangedItem]:
        """Add or change several items; at most :data:`winnow.request.MAX_INSTANCES`."""
        return await self._send(calls.put_items(items))

    async def read_item(self, item_id: str, *, nearest: int = 0) -> answers.ItemRecord:
        """An item as it is now, with the ids of its nearest items."""
        return await self._send(calls.read_item(item_id, nearest))

    async def read_items(self, item_ids: Sequence[str]) -> list[answers.ItemRecord]:
        """Several items as they are now, without nearest ones; at most :data:`winnow.request.MAX_INSTANCES`."""
        return await self._send(calls.read_items(item_ids))

    async def disable_items(self, item_ids: Sequence[str]) -> list[answers.ChangedItem]:
        """Take items down: they are not recommended until they are enabled."""
        return await self._send(calls.change_items("disable", item_ids))

    async def enable_items(self, item_ids: Sequence[str]) -> list[answers.ChangedItem]:
        """Recommend items again."""
        return await self._send(calls.change_items("enable", item_ids))

    async def delete_items(self, item_ids: Sequence[str]) -> list[answers.ChangedItem]:
        """Remove items from every answer and from the next releases."""
        return await self._send(calls.change_items("delete", item_ids))

    async def put_user(self, user_id: str, attributes: Mapping[str, Any]) -> answers.ChangedUser:
        """Change attributes of a user, in the columns that the data set declares; ``None`` clears one."""
        return await self._send(calls.put_user(user_id, attributes))

    async def read_user(self, user_id: str, *, n: int = 20) -> answers.UserRecord:
        """Attributes, features, the ``n`` newest events and the Bloom filters of a user."""
        return await self._send(calls.read_user(user_id, n))

    async def user_events(self, user_id: str, *, n: int = 100, before: str | None = None) -> answers.UserEvents:
        """A page of a user's events, newest first; ``before`` is ``next`` of the page before."""
        return await self._send(calls.user_events(user_id, n, before))

    async def merge_users(self, user_id: str, *, into: str) -> answers.MergedUser:
        """Join a user's history with that of another, and forget the first id."""
        return await self._send(calls.merge_users(user_id, into))

    async def erase_user(self, user_id: str) -> answers.ErasedUser:
        """Delete everything that the server holds of a user; docs/people.md names the rest."""
        return await self._send(calls.erase_user(user_id))

    async def _send(self, call: Call[T]) -> T:
        try:
            return result(call, await self._http.post(call.path, json=call.body))
        except httpx.HTTPError as error:
            raise unreachable(error, self._http.base_url) from error
