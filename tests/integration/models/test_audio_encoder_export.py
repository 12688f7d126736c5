"""The small audio encoder, exported: the same embeddings for every number and length of sounds."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from export.graphs.onnx_model import write_onnx
from winnow.encoders.settings import TinySettings
from winnow.encoders.tokens import train_tokenizer
from winnow.models.encoders.tiny import TinyEncoders, TinyModel
from winnow.signatures import AUDIO_ENCODER


def small(settings: TinySettings) -> TinyEncoders:
    torch.manual_seed(0)
    tokenizer: Tokenizer = train_tokenizer(["a tone"], settings.vocabulary, settings.context_length)
    return TinyEncoders.on(TinyModel(settings).eval(), tokenizer, settings)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [8_000, 12_345])
def test_the_small_encoder_exports_for_every_batch_size(samples: int, tmp_path: Path) -> None:
    encoder = small(TinySettings(samples=samples)).audio
    content = torch.randn(6, samples) / 5
    content[1, 900:] = 0
    content[2] = 0
    path = tmp_path / "model.onnx"
    write_onnx(encoder.module, AUDIO_ENCODER, {"samples": content}, path)
    with torch.inference_mode():
        expected = encoder.module(content)
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(6))
    session = onnxruntime.InferenceSession(path)
    for count in (1, 6):
        (vectors,) = session.run(None, {"samples": content[:count].numpy()})
        np.testing.assert_allclose(vectors, expected[:count], atol=1e-5)
