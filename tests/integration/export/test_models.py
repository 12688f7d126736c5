"""Exported models equal their originals, or are not exported."""

import re
from pathlib import Path

import onnx
import pytest
import torch
from google.protobuf import text_format
from torch import Tensor, nn
from tritonclient.grpc import model_config_pb2 as triton

from export.graphs.parity import SIZES, ParityError, resized
from export.repository import export_model
from export.triton.config import Shape, config_text, model_config
from export.triton.shapes import check_shapes
from tests.support.paths import ROOT
from winnow.encoders.settings import TinySettings
from winnow.encoders.tokens import tokenise, train_tokenizer
from winnow.errors import WinnowError
from winnow.models.encoders.tiny import TinyEncoders, TinyModel
from winnow.signatures import IMAGE_ENCODER, SIGNATURES, TEXT_ENCODER, ModelSignature, TensorSpec

COMMITTED = ROOT / "model_repository"
SETTINGS = TinySettings(vocabulary=400)
SMALL = ModelSignature(
    "ranker",
    inputs=(TensorSpec("history_items", "INT32", ("B", "L")), TensorSpec("candidate_items", "INT32", ("B", "N"))),
    outputs=(TensorSpec("scores", "FP32", ("B", "N")),),
)


class SmallRanker(nn.Module):
    """Scores candidates by their distance to the history's mean."""

    def forward(self, history: Tensor, candidates: Tensor) -> Tensor:
        return -(candidates.float() - history.float().mean(1, keepdim=True)).abs()


class Unfaithful(SmallRanker):
    """Gives another output while it is traced."""

    def forward(self, history: Tensor, candidates: Tensor) -> Tensor:
        return super().forward(history, candidates) + (0.01 if torch.compiler.is_exporting() else 0.0)


CHOICE = ModelSignature(
    "retriever",
    inputs=(TensorSpec("history_items", "INT32", ("B", "L")),),
    outputs=(TensorSpec("candidates", "INT32", ("B", "K")), TensorSpec("candidate_scores", "FP32", ("B", "K"))),
)


class SmallRetriever(nn.Module):
    """The best five of twelve items with given scores.

    ``exported`` may reorder them in the exported graph only: like an operator that breaks ties in another way, or
    an operator that is exported wrongly.
    """

    def __init__(self, scores: list[float], exported: list[int] | None = None) -> None:
        super().__init__()
        self.register_buffer("scores", torch.tensor(scores))
        self.register_buffer("places", torch.tensor(exported or list(range(5))))

    def forward(self, history: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.scores + 0.0 * history.float().sum(1, keepdim=True)
        best, items = scores.topk(5, dim=1)
        if torch.compiler.is_exporting():
            items = items[:, self.places]
        return items.int(), best


def small_samples() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "history_items": torch.randint(1, 90, (4, 6), generator=random, dtype=torch.int32),
        "candidate_items": torch.randperm(1000, generator=random)[:480].reshape(4, 120).int(),
    }


def encoder(signature: ModelSignature) -> tuple[nn.Module, Tensor]:
    texts = ["a red hat", "", "walking boots, brown, size 44", "x " * 60]
    tokenizer = train_tokenizer(texts, SETTINGS.vocabulary, SETTINGS.context_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = TinyEncoders.on(TinyModel(SETTINGS).eval(), tokenizer, SETTINGS)
        pixels = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8)
    if signature is IMAGE_ENCODER:
        return encoders.image.module, pixels
    return encoders.text.module, torch.from_numpy(tokenise(tokenizer, texts))


@pytest.mark.parametrize("signature", [IMAGE_ENCODER, TEXT_ENCODER], ids=lambda signature: signature.name)
def test_encoders_equal_their_originals(signature: ModelSignature, tmp_path: Path) -> None:
    module, content = encoder(signature)
    sample = {signature.inputs[0].name: content}
    row = export_model(module, signature, 3, tmp_path / "repository", sample, bound=1e-4)
    assert [sizes["B"] for sizes in SIZES] == [1, 3, 32]
    assert 0 <= row.difference <= 1e-4
    assert row.outputs == ("embedding",)
    path = tmp_path / "repository" / signature.name / "3" / "model.onnx"
    assert row.megabytes == path.stat().st_size / 1e6
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert row.megabytes < 4.4 * parameters / 1e6 + 0.2  # the weights of this tower only, once
    assert {opset.domain for opset in onnx.load(path).opset_import} == {""}  # no operators of a single runtime
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repository"]


def test_embeddings_have_unit_length() -> None:
    for signature in (IMAGE_ENCODER, TEXT_ENCODER):
        module, content = encoder(signature)
        with torch.inference_mode():
            lengths = module.eval()(content).norm(dim=-1)
        torch.testing.assert_close(lengths, torch.ones(len(content)))


def test_every_free_dimension_is_free_and_versions_are_never_overwritten(tmp_path: Path) -> None:
    export_model(SmallRanker(), SMALL, 1, tmp_path / "repository", small_samples(), bound=1e-4)
    with pytest.raises(WinnowError, match="never overwritten"):
        export_model(SmallRanker(), SMALL, 1, tmp_path / "repository", small_samples(), bound=1e-4)


def test_a_model_that_differs_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=re.escape("ranker: ONNX Runtime differs from PyTorch by 0.01")):
        export_model(Unfaithful(), SMALL, 1, tmp_path / "repository", small_samples(), bound=1e-4)
    assert not list(tmp_path.iterdir()), "a configuration without its version stops Triton"


TIED = [9.0, 8.0, 8.0, 8.0, 7.0, *[1.0] * 7]
FALLING = [12.0 - item for item in range(12)]


@pytest.mark.parametrize(
    ("scores", "exported"),
    [
        pytest.param([0.0] * 12, None, id="nothing is known, so all scores are equal"),
        pytest.param([9.0, *[-1e9] * 11], None, id="a history that hides all but one item"),
        pytest.param(TIED, [0, 3, 1, 2, 4], id="a tie in another order"),
        pytest.param([9.0, 8.0, 8.00001, 8.0, 7.0, *[1.0] * 7], [0, 3, 1, 2, 4], id="nearly a tie"),
        pytest.param([1.0 + 1e-6 * item for item in range(12)], [4, 0, 1, 2, 3], id="the list ends amid its equals"),
    ],
)
def test_the_order_of_items_with_equal_scores_may_differ(
    scores: list[float], exported: list[int] | None, tmp_path: Path
) -> None:
    model, samples = SmallRetriever(scores, exported), {"history_items": small_samples()["history_items"]}
    row = export_model(model, CHOICE, 1, tmp_path / "repository", samples, bound=1e-3)
    assert row.difference == 0


@pytest.mark.parametrize(
    ("scores", "exported", "said"),
    [
        pytest.param(FALLING, [1, 0, 2, 3, 4], "item [01] of candidates, which both", id="two places swapped"),
        pytest.param(TIED, [0, 1, 2, 4, 3], "item [34] of candidates, which both", id="a tie's last with the next"),
        pytest.param(FALLING, [0, 1, 1, 3, 4], "names an item twice", id="an item twice"),
    ],
)
def test_a_list_in_a_wrong_order_is_not_exported(
    scores: list[float], exported: list[int], said: str, tmp_path: Path
) -> None:
    model, samples = SmallRetriever(scores, exported), {"history_items": small_samples()["history_items"]}
    with pytest.raises(ParityError, match=said):
        export_model(model, CHOICE, 1, tmp_path / "repository", samples, bound=1e-3)


def test_a_list_with_a_wrong_item_is_not_exported(tmp_path: Path) -> None:
    class Other(SmallRetriever):
        def forward(self, history: Tensor) -> tuple[Tensor, Tensor]:
            items, best = super().forward(history)
            return (items + 3 if torch.compiler.is_exporting() else items), best

    samples = {"history_items": small_samples()["history_items"]}
    with pytest.raises(ParityError, match="which only one of PyTorch and ONNX Runtime named"):
        export_model(Other([12.0 - item for item in range(12)]), CHOICE, 1, tmp_path / "r", samples, bound=1e-3)


def test_integer_outputs_that_are_not_a_list_must_be_equal(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def forward(self, history: Tensor) -> Tensor:
            return history.sum(1, keepdim=True).int() + (1 if torch.compiler.is_exporting() else 0)

    counted = ModelSignature("retriever", CHOICE.inputs, (TensorSpec("count", "INT32", ("B", 1)),))
    samples = {"history_items": small_samples()["history_items"]}
    with pytest.raises(ParityError, match="the integers of count differ"):
        export_model(Counting(), counted, 1, tmp_path / "repository", samples, bound=1e-3)


def test_wrong_samples_are_named(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="candidate_items"):
        resized(SMALL, {"history_items": torch.zeros(1, 1)}, SIZES[0])


def test_a_configuration_states_the_dimensions_of_its_graph(tmp_path: Path) -> None:
    repository = tmp_path / "models" / "4"
    export_model(SmallRanker(), SMALL, 4, repository, small_samples(), bound=1e-4)
    config = text_format.Parse((repository / "ranker" / "config.pbtxt").read_text(), triton.ModelConfig())
    for tensor in (*config.input, *config.output):
        assert list(tensor.dims) == [6 if tensor.name == "history_items" else -1]
    files = [path.relative_to(repository) for path in repository.rglob("*") if path.is_file()]
    assert sorted(map(str, files)) == ["ranker/4/model.onnx", "ranker/config.pbtxt", "ranker/configs/gpu.pbtxt"]


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ({"history_items": ("B", "L")}, "history_items"),
        ({"history_items": ("B", 6, 1)}, "history_items"),
        ({"candidate_items": ("B", 100)}, "candidate_items"),
        ({"scores": (3, "N")}, "scores"),
        ({"scores": ("B", "?", "N")}, "scores"),
    ],
)
def test_a_release_fixes_all_dimensions_except_three(shapes: dict[str, Shape], named: str) -> None:
    tensors = (*SMALL.inputs, *SMALL.outputs)
    good: dict[str, Shape] = {spec.name: tuple(6 if dim == "L" else dim for dim in spec.dims) for spec in tensors}
    check_shapes(SMALL, good)
    with pytest.raises(WinnowError, match=f"ranker: {named} has the shape"):
        check_shapes(SMALL, good | shapes)


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_committed_configurations_are_the_generated_ones(signature: ModelSignature) -> None:
    text = (COMMITTED / signature.name / "config.pbtxt").read_text()
    assert text == config_text(signature), "run `python -m export configs`"
    parsed = text_format.Parse(text, triton.ModelConfig())
    assert parsed == model_config(signature)
    assert parsed.backend == "onnxruntime"
    assert parsed.version_policy.WhichOneof("policy_choice") == "all"
    # Triton's batcher lets a call wait for half a second where calls for different numbers of candidates meet.
    assert parsed.HasField("dynamic_batching") == (signature.name != "ranker")
    if parsed.HasField("dynamic_batching"):
        assert parsed.dynamic_batching.max_queue_delay_microseconds == 0, "a single request is not delayed"
        policy = parsed.dynamic_batching.default_queue_policy
        assert 0 < policy.max_queue_size <= 1024, "requests beyond this bound would miss every deadline"
        assert policy.default_timeout_microseconds == 10_000 * 1000, "no request may ask for a longer deadline"
    assert [(tensor.name, len(tensor.dims)) for tensor in parsed.input] == [
        (spec.name, len(spec.dims) - 1) for spec in signature.inputs
    ]
