"""The ``recommender`` model on the KServe server: the funnel behind HTTP v1, HTTP v2 and gRPC v2."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from kserve import InferOutput, InferRequest, InferResponse, Model  # type: ignore[import-untyped]
from kserve.errors import InvalidInput, ModelNotReady  # type: ignore[import-untyped]

from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.serving.protocols import codec
from winnow.request import Answer, InvalidRequest, RecommendRequest, parse_all, quote

NAME = "recommender"
OUTPUTS = ("item_ids", "scores", "answer")

_LONGEST_ID = 128
_TRACE_HEADERS = ("traceparent", "tracestate")


@dataclass
class Batch:
    """The queries of one call; ``call`` is the v2 call they came with."""

    queries: list[Query]
    call: InferRequest | None


class NotReady(ModelNotReady):  # type: ignore[misc]
    """The funnel is still being connected. KServe's gRPC server reads ``reason``, which its own error lacks."""

    @property
    def reason(self) -> str:
        """The message."""
        return str(self)


class RecommenderModel(Model):  # type: ignore[misc]
    """Answers requests. KServe calls ``preprocess``, ``predict`` and ``postprocess`` in turn.

    Args:
        connect: makes the runner, inside the server's event loop, where clients of Redis and Triton must be born.
    """

    def __init__(self, release: int, connect: Callable[[], Awaitable[Runner]]) -> None:
        super().__init__(NAME)
        self._release = release
        self._connect = connect
        self._runner: Runner | None = None
        # The server only takes models that say they are ready; ``start`` takes it back until the runner is there.
        self.ready = True
        self.engine = True

    def start(self) -> None:
        """Called before the event loop runs: nothing can be served yet."""
        self.ready = False

    async def start_engine(self) -> None:
        """Called inside the event loop: connect."""
        self._runner = await self._connect()
        self.ready = True

    def load(self) -> bool:
        """KServe calls this on a model that is not ready; it cannot be hurried."""
        return bool(self.ready)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Input tensors, for the model's metadata."""
        return codec.described(codec.REQUEST_TENSORS)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Output tensors, for the model's metadata."""
        return [
            {"name": "item_ids", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
            {"name": "answer", "datatype": "BYTES", "shape": [-1]},
        ]

    async def preprocess(self, payload: object, headers: Mapping[str, str] | None = None) -> Batch:
        """Parse, then everything up to the features of the surviving candidates."""
        if self._runner is None:
            raise NotReady(self.name)
        call = payload if isinstance(payload, InferRequest) else None
        try:
            if call is not None and call.model_version not in (None, "", str(self._release)):
                raise InvalidRequest(
                    f"model_version: this server is pinned to release {self._release}, got {quote(call.model_version)}"
                )
            codec.check_outputs(call, OUTPUTS)
            given = codec.instances(payload, codec.REQUEST_TENSORS, codec.REQUEST_LEADING)
            requests = parse_all(RecommendRequest, given)
            headers = headers or {}
            request_id = _request_id(call, headers)
            contents = await self._runner.read(requests)
            queries = [
                self._runner.admit(
                    request,
                    f"{request_id}-{n}" if len(requests) > 1 else request_id,
                    f"instances[{n}]",
                    content,
                )
                for n, (request, content) in enumerate(zip(requests, contents, strict=True))
            ]
        except InvalidRequest as error:
            raise InvalidInput(str(error)) from None
        if "traceparent" in headers:
            carrier = {name: headers[name] for name in _TRACE_HEADERS if name in headers}
            for query in queries:
                query.carrier = carrier
        await asyncio.gather(*map(self._runner.retrieve, queries))
        return Batch(queries, call)

    def validate(self, payload: Batch) -> Batch:
        """KServe's own check expects the predictor's protocol here; ours happened in ``preprocess``."""
        return payload

    async def predict(
        self, payload: Batch, headers: Mapping[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> Batch:
        """Rank."""
        assert self._runner is not None
        await asyncio.gather(*map(self._runner.score, payload.queries))
        return payload

    async def postprocess(
        self, result: Batch, headers: Mapping[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, list[Answer]] | InferResponse:
        """Order and answer, in the protocol of the call."""
        assert self._runner is not None
        answers = [self._runner.answer(query) for query in result.queries]
        if result.call is None:
            return {"predictions": answers}
        widest = max(query.request.k for query in result.queries)
        return codec.response(result.call, self.name, self._release, _outputs(answers, widest))

    async def explain(self, payload: object, headers: Mapping[str, str] | None = None) -> None:
        """Not offered under this verb."""
        raise InvalidInput("explain: is not offered; ask for a prediction with debug: true")


def _outputs(answers: list[Answer], widest: int) -> list[InferOutput]:
    item_ids: list[str] = []
    scores: list[float] = []
    for answer in answers:
        missing = widest - len(answer["items"])
        item_ids += [item["item_id"] for item in answer["items"]] + [""] * missing
        scores += [item["score"] for item in answer["items"]] + [0.0] * missing
    shape = [len(answers), widest]
    return [
        codec.strings("item_ids", shape, item_ids),
        InferOutput(name="scores", shape=shape, datatype="FP32", data=scores),
        codec.strings("answer", [len(answers)], [orjson.dumps(answer).decode() for answer in answers]),
    ]


def _request_id(call: InferRequest | None, headers: Mapping[str, str]) -> str:
    """The caller's id, from the header or the v2 call, or a new one; a v2 response carries it too."""
    given: str = headers.get("x-request-id") or (call.id if call is not None else None) or uuid.uuid4().hex
    if len(given) > _LONGEST_ID:
        raise InvalidRequest(f"request id: must have at most {_LONGEST_ID} characters, got {len(given)}")
    if call is not None:
        call.id = given
    return given
