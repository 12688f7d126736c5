"""The client for code without asyncio."""

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


class Winnow:
    """A client of a Winnow endpoint, over HTTP. It may be shared by threads; close it, or use it in ``with``.

    Calls that the endpoint refuses for now (429, 503) are repeated with increasing waits; all other errors are raised
    at once. :class:`winnow.client.AsyncWinnow` has the same methods for asyncio.

    >>> from winnow.client import Winnow
    >>> winnow = Winnow("http://localhost:8080")
    >>> answer = winnow.recommend("u00042", k=3)
    >>> [item["position"] for item in answer["items"]]
    [0, 1, 2]

    Args:
        url: address of the endpoint.
        api_key: an API key or a JSON Web Token, for an endpoint with access control.
        timeout_s: time-out of each attempt, in seconds.
        retries: attempts after the first, for 429 and 503.
    """

    def __init__(
        self, url: str = URL, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S, retries: int = RETRIES
    ) -> None:
        self._http = httpx.Client(**settings(url, api_key, timeout_s, retries))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether the endpoint answers recommendations.

        >>> winnow.ready()
        True
        """
        try:
            return self._http.get("/v2/models/recommender/ready").is_success
        except httpx.HTTPError:
            return False

    def recommend(self, user_id: str, **options: Unpack[Choices]) -> Answer:
        """Items for a user.

        >>> answer = winnow.recommend("u00042", k=5, filters={"where": "price < 50"})
        >>> len(answer["items"])
        5

        Raises:
            EndpointError: the endpoint refused the call; its subclasses name the reasons.
            NoAnswer: the endpoint did not answer. Every method raises these two.
        """
        return self._send(calls.recommend(user_id=user_id, **options))

    def recommend_all(self, requests: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Answers to several requests in one call, at most :data:`winnow.request.MAX_INSTANCES`.

        >>> answers = winnow.recommend_all([{"user_id": "u00042"}, {"query": {"text": "a small red lamp"}}])
        >>> len(answers)
        2
        """
        return self._send(calls.recommend_all(requests))

    def next_page(self, answer: Answer, **options: Unpack[Choices]) -> Answer:
        """The items after those of an answer; none of its earlier pages' items is repeated.

        >>> first = winnow.recommend("u00042", k=5)
        >>> second = winnow.next_page(first)
        >>> second["items"][0]["position"]
        5
        """
        return self._send(calls.recommend(recommendation_id=answer["recommendation_id"], **options))

    def recommend_session(
        self, items: Sequence[SessionEvent], *, user_id: str | None = None, **options: Unpack[Choices]
    ) -> Answer:
        """Items for a visitor's session: the events so far, oldest first; with ``user_id``, after the user's own.

        >>> answer = winnow.recommend_session([{"item_id": "i00007"}, {"item_id": "i00008", "event": "cart"}], k=5)
        >>> answer["user_id"] is None
        True
        """
        return self._send(calls.recommend(items=items, user_id=user_id, **options))

    def similar(self, item_id: str, *, user_id: str | None = None, **options: Unpack[Choices]) -> Answer:
        """Items that resemble an item; with ``user_id``, those that also suit the user.

        >>> answer = winnow.similar("i00007", k=5)
        >>> "i00007" in [item["item_id"] for item in answer["items"]]
        False
        """
        return self._send(calls.recommend(like=item_id, user_id=user_id, **options))

    def complements(self, item_id: str, *, user_id: str | None = None, **options: Unpack[Choices]) -> Answer:
        """Items that users take together with an item.

        >>> answer = winnow.complements("i00007", k=5)
        """
        return self._send(calls.recommend(like=item_id, relation="complementary", user_id=user_id, **options))

    def rank(self, item_ids: Sequence[str], *, user_id: str | None = None, **options: Unpack[Choices]) -> Answer:
        """The caller's own list, ranked.

        >>> answer = winnow.rank(["i00001", "i00002", "i00003"], user_id="u00042")
        >>> len(answer["items"]) + len(answer["left_out"])
        3
        """
        return self._send(calls.recommend(rank=list(item_ids), user_id=user_id, **options))

    def listed(
        self,
        name: Literal["popular", "trending", "new", "last_seen"],
        *,
        user_id: str | None = None,
        **options: Unpack[Choices],
    ) -> Answer:
        """A list as it is: the popular, trending or new items, or those that a user saw last.

        >>> answer = winnow.listed("popular", k=5)
        >>> len(answer["items"])
        5
        """
        return self._send(calls.recommend(list=name, user_id=user_id, **options))

    def search(
        self,
        text: str | None = None,
        *,
        image: Content | None = None,
        audio: Content | None = None,
        user_id: str | None = None,
        **options: Unpack[Choices],
    ) -> Answer:
        """Items that resemble a text, an image or a sound; with ``user_id``, those that also suit the user.

        >>> answer = winnow.search("a small red lamp", k=5)
        >>> answer["items"][0]["sources"]
        ['content']
        """
        return self._send(calls.search(text, image, audio, user_id=user_id, **options))

    def send_event(self, event: SentEvent) -> answers.StoredEvent:
        """Store an event; the user's next recommendation reflects it.

        >>> receipt = winnow.send_event({"user_id": "u00042", "item_id": "i00007", "event": "view"})
        >>> receipt["duplicate"]
        False
        """
        [receipt] = self._send(calls.send_events([event]))
        return receipt

    def send_events(self, events: Sequence[SentEvent]) -> list[answers.StoredEvent]:
        """Store several events in order, all or none; at most :data:`winnow.request.MAX_INSTANCES`.

        >>> receipts = winnow.send_events([{"user_id": "u00042", "item_id": "i00008", "event": "view"}])
        """
        return self._send(calls.send_events(events))

    def put_item(self, item: Mapping[str, Any]) -> answers.ChangedItem:
        """Add or change an item: the columns that are given change, and ``None`` clears one.

        >>> receipt = winnow.put_item({"item_id": "lamp-1", "title": "Small red lamp", "price": 20.0})
        >>> receipt["state"]
        'new'
        """
        [receipt] = self._send(calls.put_items([item]))
        return receipt

    def put_items(self, items: Sequence[Mapping[str, Any]]) -> list[answers.ChangedItem]:
        """Add or change several items; at most :data:`winnow.request.MAX_INSTANCES`.

        >>> lamps = [{"item_id": "lamp-1", "price": 12.5}, {"item_id": "lamp-2", "title": "Tall lamp"}]
        >>> receipts = winnow.put_items(lamps)
        >>> [receipt["state"] for receipt in receipts]
        ['new', 'new']
        """
        return self._send(calls.put_items(items))

    def read_item(self, item_id: str, *, nearest: int = 0) -> answers.ItemRecord:
        """An item as it is now, with the ids of its nearest items.

        >>> winnow.read_item("lamp-1")["document"]["price"]
        12.5
        """
        return self._send(calls.read_item(item_id, nearest))

    def read_items(self, item_ids: Sequence[str]) -> list[answers.ItemRecord]:
        """Several items as they are now, without nearest ones; at most :data:`winnow.request.MAX_INSTANCES`.

        >>> [item["state"] for item in winnow.read_items(["lamp-1", "lamp-2"])]
        ['new', 'new']
        """
        return self._send(calls.read_items(item_ids))

    def disable_items(self, item_ids: Sequence[str]) -> list[answers.ChangedItem]:
        """Take items down: they are not recommended until they are enabled.

        >>> receipts = winnow.disable_items(["lamp-2"])
        >>> receipts[0]["state"]
        'disabled'
        """
        return self._send(calls.change_items("disable", item_ids))

    def enable_items(self, item_ids: Sequence[str]) -> list[answers.ChangedItem]:
        """Recommend items again.

        >>> receipts = winnow.enable_items(["lamp-2"])
        """
        return self._send(calls.change_items("enable", item_ids))

    def delete_items(self, item_ids: Sequence[str]) -> list[answers.ChangedItem]:
        """Remove items from every answer and from the next releases.

        >>> receipts = winnow.delete_items(["lamp-1", "lamp-2"])
        >>> receipts[0]["state"]
        'deleted'
        """
        return self._send(calls.change_items("delete", item_ids))

    def put_user(self, user_id: str, attributes: Mapping[str, Any]) -> answers.ChangedUser:
        """Change attributes of a user, in the columns that the data set declares; ``None`` clears one.

        >>> receipt = winnow.put_user("u00150", {"country": "NL"})
        """
        return self._send(calls.put_user(user_id, attributes))

    def read_user(self, user_id: str, *, n: int = 20) -> answers.UserRecord:
        """Attributes, features, the ``n`` newest events and the Bloom filters of a user.

        >>> record = winnow.read_user("u00042")
        >>> record["known"]
        True
        """
        return self._send(calls.read_user(user_id, n))

    def user_events(self, user_id: str, *, n: int = 100, before: str | None = None) -> answers.UserEvents:
        """A page of a user's events, newest first; ``before`` is ``next`` of the page before.

        >>> page = winnow.user_events("u00042", n=2)
        >>> len(page["events"])
        2
        """
        return self._send(calls.user_events(user_id, n, before))

    def merge_users(self, user_id: str, *, into: str) -> answers.MergedUser:
        """Join a user's history with that of another, and forget the first id.

        >>> receipt = winnow.merge_users("u00151", into="u00150")
        """
        return self._send(calls.merge_users(user_id, into))

    def erase_user(self, user_id: str) -> answers.ErasedUser:
        """Delete everything that the server holds of a user; docs/people.md names the rest.

        >>> receipt = winnow.erase_user("u00150")
        """
        return self._send(calls.erase_user(user_id))

    def _send(self, call: Call[T]) -> T:
        try:
            return result(call, self._http.post(call.path, json=call.body))
        except httpx.HTTPError as error:
            raise unreachable(error, self._http.base_url) from error
