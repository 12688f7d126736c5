"""Training on another device than the CPU, in bfloat16, and compiled, as far as that goes without a GPU."""

from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from tests.support.training.second_device import second_device
from tests.support.training.walks import LENGTH, SMALL, SOURCES, numerics_at, world
from winnow.encoders.settings import TinySettings
from winnow.encoders.tokens import END, START, train_tokenizer
from winnow.errors import WinnowError
from winnow.features.targets import target_rows
from winnow.models.encoders.tiny import TinyEncoders, TinyModel
from winnow.settings.training import ComputeSettings, RankerSettings, TrainingSettings
from winnow.training.encoders import contrastive
from winnow.training.encoders.examples import Examples
from winnow.training.loop.devices import device_of, threads_for
from winnow.training.ranker import candidate_lists, train
from winnow.training.ranker.candidate_lists import PastSources, past_lists
from winnow.training.ranker.tensors import ListTensorBuilder, ListTensors
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever import course, fit
from winnow.training.retriever.train import RetrieverTraining, train_retriever

RANKER = RankerSettings(width=8, epochs=3, best=10, others=10)
TINY = TinySettings(steps=6, batch_size=8, vocabulary=300, context_length=8, samples=2_000, image_size=32)
CPU, BF16 = ComputeSettings(device="cpu"), ComputeSettings(device="cpu", precision="bf16")


@pytest.fixture(scope="module")
def retrieval() -> RetrieverTraining:
    return train_retriever(world()[0], SMALL, show_progress=False)


def ranker(
    retrieval: RetrieverTraining, compute: ComputeSettings = CPU, chosen: RankerSettings = RANKER
) -> TrainedRanker:
    settings = TrainingSettings(candidates=SOURCES, ranker=chosen, compute=compute)
    return train.train_ranker(world()[0], retrieval, numerics_at, settings, show_progress=False)


def lists(retrieval: RetrieverTraining) -> ListTensors:
    """The ranker's training lists, whole."""
    features, settings = world()[0], TrainingSettings(candidates=SOURCES)
    sources = PastSources(features, retrieval, settings)
    found = past_lists(features, target_rows(features), retrieval.until, sources, settings.lists, show_progress=False)
    return ListTensorBuilder(features, numerics_at, LENGTH).build(found, 100, 0, np.random.default_rng(0))


def encoders(compute: ComputeSettings = CPU) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The weights and losses of winnow-tiny on random pictures and sounds of eight captions."""
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    model = TinyModel(TINY)
    tokens = np.full((24, TINY.context_length), 0)
    tokens[:, :3] = [[START, 260 + row % 8, END] for row in range(24)]
    examples = Examples(
        tokens,
        random.integers(0, 256, (20, 32, 32, 3), np.uint8),
        np.arange(24) % 24 - 4,
        random.normal(size=(24, 2_000)).astype(np.float32),
        np.arange(24),
    )
    wrapped = TinyEncoders.on(model, train_tokenizer(["a"], 300, 8), TINY)
    losses = contrastive.train_contrastive(model, wrapped, examples, TINY, compute, show_progress=False)
    return model.state_dict(), losses


def on(device: torch.device, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    for module in modules:
        monkeypatch.setattr(module, "device_of", lambda settings: device)


def is_on_the_cpu(weights: dict[str, torch.Tensor]) -> bool:
    return {type(tensor) for tensor in weights.values()} == {torch.Tensor}


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_small_arrays_take_one_thread_and_large_ones_all() -> None:
    chosen = []
    for numbers in (1, 8 * 50 * 64, 32 * 50 * 64, 10**7):
        with threads_for(numbers):
            chosen.append(torch.get_num_threads())
    assert chosen == [1, 1, 3, 4]
    with pytest.raises(RuntimeError), threads_for(1):
        raise RuntimeError
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_the_steps_of_a_small_log_take_one_thread_and_validation_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, set[int]] = {}

    def watched(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            used.setdefault(name, set()).add(torch.get_num_threads())
            return function(*given, **named)

        monkeypatch.setattr(owner, name, counted)

    watched(fit.Fit, "learn")
    watched(course, "gains")
    watched(train, "loss_of_step")
    trained = train_retriever(world()[0], SMALL.model_copy(update={"max_epochs": 2}), show_progress=False)
    ranker(trained)
    assert used == {"learn": {1}, "gains": {4}, "loss_of_step": {1}}


def test_the_retriever_trains_on_another_device_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # The second device has no sparse tensors, so the catalog is scored whole.
    settings = SMALL.model_copy(update={"max_epochs": 2})
    expected = train_retriever(world()[0], settings, show_progress=False)
    with second_device() as device:
        on(device, monkeypatch, fit)
        trained = train_retriever(world()[0], settings, show_progress=False)
    assert is_on_the_cpu(trained.served.weights())
    torch.testing.assert_close(trained.served.item_vectors, expected.served.item_vectors, rtol=1e-3, atol=1e-3)


def test_the_ranker_trains_on_another_device_and_comes_back(
    retrieval: RetrieverTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ranker(retrieval)
    with second_device() as device:
        on(device, monkeypatch, train, candidate_lists)
        trained = ranker(retrieval)
    assert is_on_the_cpu(trained.model.state_dict())
    for name, tensor in expected.model.state_dict().items():
        torch.testing.assert_close(trained.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    assert not trained.unranked_reason


def test_the_encoders_train_on_another_device_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    _, losses = encoders()
    with second_device() as device:
        on(device, monkeypatch, contrastive)
        trained, there = encoders()
    assert is_on_the_cpu(trained)
    assert there == pytest.approx(losses, rel=1e-3)


def test_the_second_device_refuses_a_tensor_that_was_not_moved() -> None:
    layer, numbers = torch.nn.Linear(3, 2), torch.ones(4, 3)
    with second_device() as device:
        assert layer.to(device)(numbers.to(device)).device == device
        with pytest.raises(RuntimeError, match="both devices"):
            layer(numbers)


def test_the_ranker_in_bfloat16_is_nearly_as_good(retrieval: RetrieverTraining) -> None:
    whole, half = ranker(retrieval), ranker(retrieval, BF16)
    weights = half.model.state_dict()
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float32, torch.int64}
    assert not torch.equal(weights["residual.weight"], whole.model.residual.weight), "it was another arithmetic"
    losses = [train.evaluate(one.model, lists(retrieval)) for one in (whole, half)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_the_encoders_in_bfloat16_learn_nearly_the_same() -> None:
    (_, whole), (weights, half) = encoders(), encoders(BF16)
    assert weights["logit_scale"].dtype == torch.float32
    assert half != whole, "it was another arithmetic"
    assert half[0] == pytest.approx(whole[0], rel=0.01)
    assert np.mean(half) == pytest.approx(np.mean(whole), rel=0.05)


def test_a_compiled_ranker_learns_the_same(retrieval: RetrieverTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RANKER.model_copy(update={"dropout": 0.0, "epochs": 1})
    plain = ranker(retrieval, CPU, settings).model.state_dict()
    # Dynamo's graphs, without the minutes that Inductor's code for them takes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    before = counters["frames"]["ok"]
    compiled = ranker(retrieval, CPU.model_copy(update={"compile": True}), settings).model.state_dict()
    assert counters["frames"]["ok"] > before
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_gpu_that_is_absent_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("PyTorch finds a GPU here")
    with pytest.raises(WinnowError, match="finds no GPU here"):
        device_of(ComputeSettings(device="cuda"))
    assert device_of(ComputeSettings()) == torch.device("cpu")
