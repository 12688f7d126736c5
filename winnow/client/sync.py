"""The client for code without asyncio."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from winnow.client import calls
from winnow.client.calls import Call, Content, Options, SentEvent, StoredEvent
from winnow.client.connection import RETRIES, TIMEOUT_S, URL, result, settings
from winnow.client.errors import unreachable
from winnow.request import Answer

T = TypeVar("T")


class Winnow:
    """A client of a Winnow endpoint, over HTTP. It may be shared by threads; close it, or use it in ``with``.

    Calls that the endpoint refuses for now (429, 503) are repeated with increasing waits; all other errors are raised at
    once. :class:`winnow.client.AsyncWinnow` has the same methods for asyncio.

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

    def recommend(self, user_id: str, **options: Unpack[Options]) -> Answer:
        """Items for a user.

        >>> answer = winnow.recommend("u00042", k=5)
        >>> len(answer["items"])
        5

        Raises:
            EndpointError: the endpoint refused the call; a subclass names the kind.
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

    def search(
        self,
        text: str | None = None,
        *,
        image: Content | None = None,
        audio: Content | None = None,
        user_id: str | None = None,
        **options: Unpack[Options],
    ) -> Answer:
        """Items that resemble a text, an image or a sound; with ``user_id``, those that also suit the user.

        >>> answer = winnow.search("a small red lamp", k=5)
        >>> answer["items"][0]["sources"]
        ['content']
        """
        return self._send(calls.search(text, image, audio, user_id=user_id, **options))

    def send_event(self, event: SentEvent) -> StoredEvent:
        """Store an event; the user's next recommendation reflects it.

        >>> receipt = winnow.send_event({"user_id": "u00042", "item_id": "i00007", "event": "view"})
        >>> receipt["duplicate"]
        False
        """
        [receipt] = self._send(calls.send_events([event]))
        return receipt

    def send_events(self, events: Sequence[SentEvent]) -> list[StoredEvent]:
        """Store several events in order, all or none; at most :data:`winnow.request.MAX_INSTANCES`.

        >>> receipts = winnow.send_events([{"user_id": "u00042", "item_id": "i00008", "event": "view"}])
        """
        return self._send(calls.send_events(events))

    def _send(self, call: Call[T]) -> T:
        try:
            return result(call, self._http.post(call.path, json=call.body))
        except httpx.HTTPError as error:
            raise unreachable(error, self._http.base_url) from error
