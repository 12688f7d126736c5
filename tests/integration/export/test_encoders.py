"""Encoders are exported in three precisions, each compared with PyTorch; a release serves one of them."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.cosine import BOUNDS, compare, exported_vectors, original_vectors
from export.encoders import export_encoder
from export.graphs.half import write_half
from export.graphs.int8 import write_int8
from export.graphs.onnx_model import write_onnx
from export.graphs.parity import ParityError
from export.graphs.variants import PRECISIONS, Precision, variant_file
from export.installed_encoders import PARITY_FILE, install_encoders
from export.triton.config import config_text
from export.triton.shapes import read_shapes
from tests.support.paths import ROOT
from winnow.encoders.settings import TinySettings
from winnow.encoders.tokens import tokenise, train_tokenizer
from winnow.errors import WinnowError
from winnow.models.encoders.image import ServedImageEncoder
from winnow.models.encoders.protocol import Encoder
from winnow.models.encoders.tiny import TinyEncoders, TinyModel
from winnow.release import sha256
from winnow.signatures import AUDIO_ENCODER, IMAGE_ENCODER

pytestmark = pytest.mark.slow

SETTINGS = TinySettings(vocabulary=400)
TEXTS = [f"a {look} {kind}, size {size}" for look in ("red", "light") for kind in ("hat", "boot") for size in range(9)]
MODELS = ("audio_encoder", "image_encoder", "text_encoder")

Exported = tuple[Path, dict[str, tuple[Encoder, NDArray[Any]]]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An encoders folder with untrained encoders, exported; model -> encoder and the samples it was compared on."""
    folder = tmp_path_factory.mktemp("encoders")
    tokenizer = train_tokenizer(TEXTS, SETTINGS.vocabulary, SETTINGS.context_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = TinyEncoders.on(TinyModel(SETTINGS).eval(), tokenizer, SETTINGS)
    random = np.random.default_rng(0)
    samples = (
        random.normal(0, 0.1, (40, SETTINGS.samples)).astype(np.float32),
        random.integers(0, 256, (40, 64, 64, 3), np.uint8),
        tokenise(tokenizer, TEXTS),
    )
    given = dict(zip(MODELS, zip((encoders.audio, encoders.image, encoders.text), samples, strict=True), strict=True))
    for model, (encoder, content) in given.items():
        export_encoder(encoder, content, folder / "onnx" / model)
    return folder, given


def inner(path: Path, operator: str, samples: NDArray[Any], *names: str) -> list[NDArray[Any]]:
    """The output of the graph's first operator of a type, and outputs by name."""
    model = onnx.load(path)
    name = next(node.output[0] for node in model.graph.node if node.op_type == operator)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run([name, *names], {model.graph.input[0].name: samples}))


def kinds(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_every_precision_is_compared_and_smaller_than_the_one_before(exported: Exported) -> None:
    folder, given = exported
    for model, (_, samples) in given.items():
        rows = json.loads((folder / "onnx" / model / PARITY_FILE).read_text())
        assert [row["precision"] for row in rows] == list(PRECISIONS)
        for row in rows:
            bound = BOUNDS[row["precision"]]
            assert row["mean"] >= bound.mean
            assert row["worst"] >= bound.worst
            assert row["inputs"] == len(samples)
            path = folder / "onnx" / model / variant_file(row["precision"])
            assert (row["megabytes"], row["sha256"]) == (path.stat().st_size / 1e6, sha256(path))
        full, half, eighth = (row["megabytes"] for row in rows)
        # The Fourier basis of the spectrogram keeps its precision.
        fixed = 1.1 if model == "audio_encoder" else 0.1
        assert half < 0.5 * full + fixed
        assert eighth < 0.25 * full + fixed + 0.2


def test_variants_have_their_precision(exported: Exported) -> None:
    folder, _ = exported
    image, text = folder / "onnx" / "image_encoder", folder / "onnx" / "text_encoder"
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds(image / "model.int8.onnx")
    assert "MatMulInteger" in kinds(text / "model.int8.onnx")
    for name in MODELS:
        model = onnx.load(folder / "onnx" / name / "model.fp16.onnx")
        assert any(weight.data_type == onnx.TensorProto.FLOAT16 for weight in model.graph.initializer)
        tensors = [*model.graph.input, *model.graph.output]
        served = onnx.load(folder / "onnx" / name / "model.onnx")
        assert tensors == [*served.graph.input, *served.graph.output]


def test_files_contain_no_path_of_the_build_machine(exported: Exported) -> None:
    folder, _ = exported
    root = str(ROOT).encode()
    for path in folder.rglob("*.onnx"):
        assert root not in path.read_bytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pixels_are_normalised_exactly_and_a_plane_at_a_time(exported: Exported, precision: Precision) -> None:
    folder, given = exported
    encoder, pixels = given["image_encoder"]
    path = folder / "onnx" / "image_encoder" / variant_file(precision)
    assert [node.op_type for node in onnx.load(path).graph.node if node.op_type in ("Sub", "BatchNormalization")] == [
        "BatchNormalization"
    ]
    [found] = inner(path, "BatchNormalization", pixels)
    module = cast(ServedImageEncoder, encoder.module)
    expected = (pixels - module.mean.numpy()) / module.std.numpy()
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_byte_inputs_are_cast_first(exported: Exported, model: str, precision: Precision) -> None:
    """TensorRT: "UINT8 types for intermediate tensors" are not supported."""
    folder, _ = exported
    graph = onnx.load(folder / "onnx" / model / variant_file(precision)).graph
    given = {value.name for value in graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    takers = [node.op_type for node in graph.node if given & set(node.input)]
    assert takers == (["Cast"] if model == "image_encoder" else [])


class TransposedBytes(nn.Module):
    """A byte transpose: half the memory traffic, but unsupported by TensorRT."""

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.normalize(pixels.permute(0, 3, 1, 2).float().mean((2, 3)), dim=-1)


def test_an_operator_on_bytes_is_refused(tmp_path: Path) -> None:
    pixels = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(WinnowError, match="image_encoder: Shape, Transpose takes the bytes of the input pixels"):
        write_onnx(TransposedBytes(), IMAGE_ENCODER, {"pixels": pixels}, tmp_path / "model.onnx")


def test_attention_transposes_its_keys_directly(exported: Exported) -> None:
    folder, _ = exported
    graph = onnx.load(folder / "onnx" / "text_encoder" / "model.onnx").graph
    orders = [list(node.attribute[0].ints) for node in graph.node if node.op_type == "Transpose"]
    assert orders.count([0, 1, 3, 2]) == 2  # one per layer
    assert [0, 2, 1] not in orders


def test_a_version_is_the_chosen_variant(exported: Exported, tmp_path: Path) -> None:
    folder, given = exported
    rows = install_encoders(folder, 4, tmp_path / "repository", "int8")
    assert sorted((row.model, row.precision) for row in rows) == [(model, "int8") for model in MODELS]
    for row in rows:
        model = tmp_path / "repository" / row.model
        assert sha256(model / "4" / "model.onnx") == row.sha256
        signature = given[row.model][0].signature
        assert (model / "config.pbtxt").read_text() == config_text(signature, read_shapes(model / "4" / "model.onnx"))
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    with pytest.raises(WinnowError, match="never overwritten"):
        install_encoders(folder, 4, tmp_path / "repository")


def test_a_file_that_was_not_compared_is_not_installed(exported: Exported, tmp_path: Path) -> None:
    folder, _ = exported
    copy = tmp_path / "onnx" / "image_encoder"
    copy.mkdir(parents=True)
    (copy / PARITY_FILE).write_bytes((folder / "onnx" / "image_encoder" / PARITY_FILE).read_bytes())
    (copy / "model.onnx").write_bytes((folder / "onnx" / "image_encoder" / "model.fp16.onnx").read_bytes())
    with pytest.raises(WinnowError, match="not the file whose parity was proved"):
        install_encoders(tmp_path, 1, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_variant_below_its_bound_is_refused(exported: Exported) -> None:
    folder, given = exported
    encoder, samples = given["image_encoder"]
    original = original_vectors(encoder.module, samples)
    bent = original + 0.03 * np.roll(original, 1, axis=1)
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    path = folder / "onnx" / "image_encoder" / "model.onnx"
    with pytest.raises(ParityError, match=r"image_encoder \(fp32\): cosine to PyTorch's embeddings is 0\.99"):
        compare(bent, path, IMAGE_ENCODER, "fp32", samples)
    assert compare(bent, path, IMAGE_ENCODER, "int8", samples).mean < BOUNDS["fp32"].mean


def test_a_variant_that_is_too_coarse_is_reported_but_not_served(exported: Exported, tmp_path: Path) -> None:
    folder, _ = exported
    shutil.copytree(folder / "onnx" / "text_encoder", tmp_path / "onnx" / "text_encoder")
    parity = tmp_path / "onnx" / "text_encoder" / PARITY_FILE
    rows = json.loads(parity.read_text())
    for row in rows:
        row["mean"] = row["mean"] if row["precision"] == "fp32" else 0.98
    parity.write_text(json.dumps(rows))
    with pytest.raises(WinnowError, match=r"text_encoder int8: .*0\.98000.*not to be served"):
        install_encoders(tmp_path, 1, tmp_path / "repository", "int8")
    assert [row.holds for row in install_encoders(tmp_path, 1, tmp_path / "repository")] == [True]


def test_embeddings_do_not_depend_on_their_batch(exported: Exported) -> None:
    folder, given = exported
    encoder, samples = given["text_encoder"]
    path = folder / "onnx" / "text_encoder" / "model.onnx"
    alone = np.concatenate([exported_vectors(path, encoder.signature, samples[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(exported_vectors(path, encoder.signature, samples)[:8], alone, atol=1e-5)


class Sounds(nn.Module):
    """A network after a log-mel front end, whose power is far outside of fp16's range."""

    def __init__(self) -> None:
        super().__init__()
        time = torch.arange(64)
        waves = torch.stack([torch.cos(2 * torch.pi * k * time / 64) for k in range(16)])
        self.register_buffer("basis", waves[:, None])
        self.register_buffer("filters", torch.rand(16, 8, generator=torch.Generator().manual_seed(1)))
        self.network = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, samples: Tensor) -> Tensor:
        power = nn.functional.conv1d(1000 * samples[:, None], self.basis, stride=32).square()
        decibels = (power.transpose(1, 2) @ self.filters).clamp(min=1e-10).log() / 10
        return nn.functional.normalize(self.network(decibels).mean(1), dim=-1)


@pytest.mark.parametrize("write", [write_half, write_int8], ids=["fp16", "int8"])
def test_the_spectrogram_stays_exact(write: Any, tmp_path: Path) -> None:
    """Every value up to the logarithm equals the fp32 graph's; only the network after it changes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Sounds().eval()
        samples = torch.randn(6, 640)
    source, target = tmp_path / "model.onnx", tmp_path / "variant.onnx"
    write_onnx(module, AUDIO_ENCODER, {"samples": samples}, source)
    write(source, target, *([samples.numpy()] if write is write_int8 else []))
    (spectrogram, vectors), (same, reduced) = (
        inner(path, "Log", samples.numpy(), "embedding") for path in (source, target)
    )
    np.testing.assert_array_equal(same, spectrogram)
    assert np.exp(spectrogram.max()) > 65504
    assert not np.array_equal(vectors, reduced)
    assert (vectors * reduced).sum(1).min() > 0.99


def test_control_flow_is_refused(tmp_path: Path) -> None:
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["inner"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, ["B", 2])],
    )
    truth = onnx.helper.make_tensor("truth", onnx.TensorProto.BOOL, [], [True])
    nodes = [onnx.helper.make_node("If", ["truth"], ["y"], then_branch=branch, else_branch=branch)]
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", 2]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "branching", tensors[:1], tensors[1:], [truth])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "model.onnx")
    with pytest.raises(WinnowError, match="If has a graph of its own"):
        write_half(tmp_path / "model.onnx", tmp_path / "half.onnx")
