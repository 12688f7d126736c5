"""A tiny release of random arrays, published to a real Redis, and models computed by numpy."""

import asyncio
import base64
import io
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender_transformer.backends.catalog import FreshItem
from recommender_transformer.backends.models import Placed, Ranked, Retrieved, Tensors
from recommender_transformer.backends.online import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow import release as releases
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, Modality, TextInput
from winnow.encoders.tokens import train_tokenizer
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.store.connection import connect
from winnow.store.keys import recent
from winnow.store.publish import publish

ITEMS, USERS, EVENTS, WIDTH, LENGTH, RETRIEVED = 300, 20, 1200, 8, 12, 60
UNAVAILABLE = frozenset(range(5, ITEMS, 10))

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=5),
        Feature(name="tags", kind="categorical", width=2, cardinality=7),
        *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        Feature(name="price", kind="numeric", mean=2.0, scale=0.5),
        Feature(name="grams", kind="numeric", mean=10.0, scale=5.0),
    ),
    user=(Feature(name="country", kind="categorical", cardinality=4),),
    events=("view", "buy"),
    event_weights=(1.0, 4.0),
    conversions=("buy",),
)
VOCABULARIES = {
    "category": ["", "books", "games", "music", "toys"],
    "tags": ["", "red", "blue", "green", "small", "large", "old"],
    "user_country": ["", "pt", "fi", "is"],
}
INPUTS = EncoderInputs(
    audio=AudioInput(dimension=4, rate=8000, samples=800),
    image=ImageInput(dimension=4, size=8),
    text=TextInput(dimension=4, context_length=8),
)
TEXTS = ["a red ball", "a blue book", "an old game", "loud green music"]

_numbers = count(7001)


def write_release(folder: Path, number: int, seed: int = 0, inputs: EncoderInputs = INPUTS) -> Release:
    """A release folder as the export would write it, but with random contents."""
    rng = np.random.default_rng(seed)
    item_rows = np.zeros(ITEMS + 1, SCHEMA.item_dtype)
    item_rows["index"] = np.arange(ITEMS + 1)
    item_rows["available"] = [index not in UNAVAILABLE for index in range(ITEMS + 1)]
    item_rows["categorical"][1:, 0] = rng.integers(1, 5, ITEMS)
    item_rows["numeric"] = rng.random(item_rows["numeric"].shape)
    user_rows = np.zeros(USERS, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(USERS)
    user_rows["categorical"][:, 0] = rng.integers(1, 4, USERS)
    user = np.sort(rng.integers(0, USERS, EVENTS))
    vectors = rng.standard_normal((ITEMS + 1, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    neighbours = rng.integers(1, ITEMS + 1, (ITEMS + 1, 10)).astype(np.int32)
    return releases.write(
        folder / str(number),
        {
            "item_ids": np.array(["", *(f"item-{index}" for index in range(1, ITEMS + 1))]),
            "user_ids": np.array([f"user-{index}" for index in range(USERS)]),
            "item_rows": item_rows,
            "user_rows": user_rows,
            "offsets": np.searchsorted(user, np.arange(USERS + 1)).astype(np.int64),
            "item": rng.integers(1, ITEMS + 1, EVENTS).astype(np.int32),
            "event": rng.integers(1, 3, EVENTS).astype(np.int32),
            "timestamp": np.arange(1_700_000_000_000, 1_700_000_000_000 + EVENTS * 60_000, 60_000, dtype=np.int64),
            "item_vectors": vectors,
            "neighbours": neighbours,
            "neighbour_weights": rng.random(neighbours.shape).astype(np.float32),
            "popular": (rng.permutation(ITEMS) + 1).astype(np.int32),
        },
        {
            "schema.json": SCHEMA.model_dump_json(),
            "vocabularies.json": json.dumps(VOCABULARIES),
            "encoders.json": inputs.model_dump_json(),
            "tokenizer.json": train_tokenizer(TEXTS, 300, 8).to_str(),
        },
        number=number,
        dataset="tiny",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=1_800_000_000_000,
        history_length=LENGTH,
        candidates={"retriever": RETRIEVED, "covisitation": 40, "trending": 50},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )


@dataclass
class NumpyModels:
    """The models by plain arithmetic; ``delay_s`` and ``broken`` name the ones that are late or down."""

    vectors: np.ndarray[Any, np.dtype[np.float32]]
    delay_s: dict[str, float] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, Tensors]] = field(default_factory=list)

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Items nearest to the mean of the history."""
        await self._meet("retriever", inputs)
        user = self.vectors[inputs["history_items"][0]].mean(axis=0)
        scores = self.vectors[1:] @ user
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        return Retrieved((best + 1)[None].astype(np.int32), scores[best][None], user[None])

    async def rank(self, inputs: Tensors) -> Ranked:
        """The first numeric feature is the score."""
        await self._meet("ranker", inputs)
        scores = inputs["candidate_numeric"][:, :, 0]
        return Ranked(np.stack([scores, scores / 2], axis=-1), scores)

    async def encode(self, modality: Modality, content: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A random projection of the content, of unit length."""
        await self._meet(f"{modality}_encoder", {"content": content})
        flat = content.reshape(len(content), -1).astype(np.float32)
        projected = flat @ projection(f"{modality} encoder", flat.shape[1], 4)
        return projected / np.linalg.norm(projected, axis=1, keepdims=True)

    async def tower(self, inputs: Tensors) -> Placed:
        """A random projection of all there is, and the items nearest to it."""
        await self._meet("item_tower", inputs)
        wanted = inputs["embeddings"] @ projection("tower", inputs["embeddings"].shape[1], WIDTH)
        wanted = wanted + inputs["item_categorical"].astype(np.float32) @ projection("categories", 3, WIDTH)
        vector = wanted / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-9)
        scores = vector[0] @ self.vectors[1:].T
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        return Placed(vector, (best + 1)[None].astype(np.int32), scores[best][None])

    async def _meet(self, name: str, inputs: Tensors) -> None:
        self.asked.append((name, inputs))
        await asyncio.sleep(self.delay_s.get(name, 0.0))
        if name in self.broken:
            raise ConnectionError(f"{name} is down")


def projection(name: str, rows: int, columns: int) -> np.ndarray[Any, Any]:
    """A random matrix, the same for the same name."""
    seed = int.from_bytes(name.encode(), "little") % 2**32
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def make_fresh(release: Release, item_id: str, slot: int, **row: Any) -> FreshItem:
    """A fresh item with the category books and a random vector."""
    packed = np.zeros(1, SCHEMA.item_dtype)
    packed["index"], packed["available"], packed["categorical"][0, 0] = ITEMS + 1 + slot, 1, 1
    for name, value in row.items():
        packed[name] = value
    vector = projection(item_id, 1, WIDTH)[0]
    return FreshItem(item_id, slot, vector / np.linalg.norm(vector), packed[0], item_id.replace("-", " "))


@pytest.fixture(scope="session")
def fresh_item() -> Callable[..., FreshItem]:
    """Make a fresh item of a release."""
    return make_fresh


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A release nobody has published, with a number of its own."""
    return write_release(tmp_path, next(_numbers))


@pytest.fixture
def published(release: Release, redis_url: str) -> Release:
    """A release that Redis holds, whose users did nothing a moment ago, whatever those of other tests' releases did."""
    publish(release.folder, redis_url, show_progress=False)
    with connect(redis_url) as client:
        for key in client.scan_iter(match=recent("*")):
            client.delete(key)
    return release


@pytest.fixture
def models(release: Release) -> NumpyModels:
    """Models of the release."""
    return NumpyModels(np.asarray(release.array("item_vectors")))


Recommend = Callable[..., Answer]


@pytest.fixture
def recommend(published: Release, models: NumpyModels, redis_url: str) -> Recommend:
    """Ask the whole funnel once."""

    def ask(user_id: str | None, url: str = redis_url, deadline_ms: int = 2000, **fields: Any) -> Answer:
        async def run() -> Answer:
            store = OnlineStore(published, url)
            runner = Runner(recommender(published, store, models), store.stranger, deadline_ms)
            request = RecommendRequest.model_validate({"user_id": user_id, **fields})
            try:
                [content] = await runner.read([request])
                return await runner.recommend(runner.admit(request, "test", content=content))
            finally:
                await store.close()

        return run_async(run())

    return ask


def media(content: bytes) -> dict[str, str]:
    """A picture or sound as a request carries it."""
    return {"b64": base64.b64encode(content).decode()}


def a_picture(colour: str = "red") -> dict[str, str]:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (20, 30), colour).save(file, "PNG")
    return media(file.getvalue())


def a_sound(hertz: float = 440.0) -> dict[str, str]:
    """A tenth of a second as a WAV."""
    file = io.BytesIO()
    wave = np.sin(np.arange(800) * hertz * 2 * np.pi / 8000)
    soundfile.write(file, wave, 8000, format="WAV", subtype="PCM_16")
    return media(file.getvalue())


@pytest.fixture(scope="session")
def picture() -> Callable[..., dict[str, str]]:
    """Make a small picture of a colour, as a request carries it."""
    return a_picture


@pytest.fixture(scope="session")
def sound() -> Callable[..., dict[str, str]]:
    """Make a short sound of a pitch, as a request carries it."""
    return a_sound


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end in a fresh event loop."""
    return asyncio.run(work)


@pytest.fixture(scope="session")
def tiny_release() -> Callable[[Path, int], Release]:
    """Write a release folder of a given number."""
    return write_release


class Server:
    """A running transformer, spoken to by bare HTTP and gRPC."""

    def __init__(self, process: "subprocess.Popen[bytes]", http_port: int, grpc_port: int) -> None:
        # Its messages and KServe's cannot be in one process, and serve.py loads this file beside KServe.
        from tritonclient.grpc import service_pb2 as pb

        self.url = f"http://127.0.0.1:{http_port}"
        self.ports = (http_port, grpc_port)
        self.process = process
        self.channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self.infer = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path, data=body, headers={"Content-Type": "application/json"} | (headers or {}), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def v1(self, *instances: Any, model: str = "recommender") -> tuple[int, Any]:
        return self.post(f"/v1/models/{model}:predict", json.dumps({"instances": instances}).encode())

    def get(self, path: str) -> int:
        """The status of a GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    def metric(self, sample: str) -> float:
        """A sample of the server's metrics, by its name and labels as they are written there; 0 where it is missing."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample + " ")), 0.0)

    def v2(self, *inputs: dict[str, Any], model: str = "recommender", **more: Any) -> tuple[int, Any]:
        return self.post(f"/v2/models/{model}/infer", json.dumps({"inputs": inputs, **more}).encode())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(folder: Path, number: int, redis_url: str, **settings: Any) -> Iterator[Server]:
    """A tiny release behind KServe's server, in a process of its own; ``settings`` are those of ``serve.py``."""
    release = write_release(folder, number)
    publish(release.folder, redis_url, show_progress=False)
    with serving_published(release, redis_url, folder / "server.log", **settings) as server:
        yield server


@contextmanager
def serving_published(release: Release, redis_url: str, told: Path, **settings: Any) -> Iterator[Server]:
    """The same of a release that Redis holds already; its log is written to ``told``."""
    http_port, grpc_port = free_port(), free_port()
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(release.folder), redis_url]
    with told.open("wb") as log:
        arguments = [str(http_port), str(grpc_port), json.dumps(settings)]
        process = subprocess.Popen([*command, *arguments], stdout=log, stderr=log)
    server = Server(process, http_port, grpc_port)
    deadline = time.monotonic() + 120
    while not _ready(server):
        assert process.poll() is None, told.read_text()
        assert time.monotonic() < deadline, told.read_text()
        time.sleep(0.1)
    try:
        yield server
    finally:
        server.channel.close()
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) == 0, told.read_text()


@pytest.fixture
def serve_tiny(tmp_path: Path) -> Callable[..., Any]:
    """Serve a tiny release with settings of its own: ``with serve_tiny(redis_url, **settings) as server``."""
    return partial(serving, tmp_path, next(_numbers))


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Server]]:
    """Serve a tiny release: its folder, a number of its own, a Redis, and settings of ``serve.py``."""
    return serving


@pytest.fixture
def serve_published(published: Release, redis_url: str, tmp_path: Path) -> Callable[..., Any]:
    """Serve the published release once more: ``with serve_published() as server``."""
    logs = count(1)

    def serve(**settings: Any) -> AbstractContextManager[Server]:
        return serving_published(published, redis_url, tmp_path / f"server-{next(logs)}.log", **settings)

    return serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Server]:
    """Release 6001, served."""
    with serving(tmp_path_factory.mktemp("served"), 6001, redis_url) as running:
        yield running


@pytest.fixture(scope="session")
def growing(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Server]:
    """Release 6002, served; tests may add items to it."""
    with serving(tmp_path_factory.mktemp("growing"), 6002, redis_url) as running:
        yield running


def _ready(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.url}/v2/models/recommender/ready", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False
