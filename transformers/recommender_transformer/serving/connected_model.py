"""A KServe model that is ready once it is connected to its backends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from kserve import Model  # type: ignore[import-untyped]
from kserve.errors import InvalidInput  # type: ignore[import-untyped]

T = TypeVar("T")


class ConnectedModel(Model, Generic[T]):  # type: ignore[misc]
    """Connects inside the server's event loop, as the clients of Redis and Triton require.

    Args:
        name: name of the model.
        connect: creates the backend; called inside the server's event loop.

    Attributes:
        backend: what ``connect`` returned; `None` until the server runs.
        connected: set once ``connect`` has returned.
    """

    def __init__(self, name: str, connect: Callable[[], Awaitable[T]]) -> None:
        super().__init__(name)
        self.backend: T | None = None
        self.connected = asyncio.Event()
        self._connect = connect
        # The server registers ready models only; ``start`` resets the flag until the backend exists.
        self.ready = True
        self.engine = True

    def start(self) -> None:
        """Called before the event loop runs: not ready yet."""
        self.ready = False

    async def start_engine(self) -> None:
        """Called inside the event loop: connect, then ready."""
        self.backend = await self._connect()
        self.ready = True
        self.connected.set()

    def load(self) -> bool:
        """Whether the model is ready. KServe calls this on a model that is not; connecting cannot be sped up."""
        return bool(self.ready)

    def validate(self, payload: T) -> T:
        """No further check: ``preprocess`` has checked the call. KServe would check for the predictor's protocol."""
        return payload

    async def explain(self, payload: object, headers: Mapping[str, str] | None = None) -> None:
        """Refused."""
        raise InvalidInput("explain: is not supported")
