"""The spectrogram inside the graph equals CLAP's; the contrastive loss and the views of sounds."""

import numpy as np
import pytest
import torch
from open_clip import ClipLoss
from torch.nn import functional

from tests.support.paths import SHARED
from transformers import ClapFeatureExtractor
from winnow.encoders import media, sounds
from winnow.models.encoders.audio import LogMel, MelLayout, repeat_to_the_end
from winnow.training.encoders.contrastive import contrast
from winnow.training.encoders.views import louder_and_later

DIGITS = SHARED / "data" / "spoken-digits"
CLAP = MelLayout(rate=48_000, window=1024, hop=480, bins=64, lowest=0, highest=14_000)


@pytest.mark.skipif(not DIGITS.is_dir(), reason="needs the recordings of spoken digits")
def test_the_spectrogram_equals_that_of_claps_extractor() -> None:
    recordings = [sounds.decode(media.read(str(path)), 48_000, 96_000) for path in sorted(DIGITS.glob("*.wav"))[::60]]
    spoken = [recording[: np.flatnonzero(recording)[-1] + 1] for recording in recordings]
    extractor = ClapFeatureExtractor(truncation="rand_trunc", max_length_s=2)
    expected = extractor(spoken, sampling_rate=48_000, return_tensors="np")["input_features"]
    ours = LogMel(CLAP)(repeat_to_the_end(torch.from_numpy(np.stack(recordings)))).numpy()
    assert ours.shape == np.shape(expected) == (5, 1, 201, 64)
    assert np.ptp(expected) > 80, "quiet and loud parts, in decibels"
    np.testing.assert_allclose(ours, expected, atol=0.05)


def test_short_sounds_are_repeated_as_often_as_they_fit() -> None:
    padded = torch.tensor([[1, 2, 3, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]).float()
    expected = [[1, 2, 3, 1, 2, 3, 0, 0], [1, 2, 3, 4, 5, 0, 0, 0], [0] * 8]
    assert repeat_to_the_end(padded).tolist() == expected


def test_the_loss_equals_clips_and_ignores_duplicates() -> None:
    torch.manual_seed(0)
    one, other = (functional.normalize(torch.randn(6, 8), dim=1) for _ in range(2))
    scale = torch.tensor(5.0)
    alone = torch.eye(6, dtype=torch.bool)
    torch.testing.assert_close(contrast(one, other, alone, scale), ClipLoss()(one, other, scale))
    words = torch.tensor([0, 0, 1, 1, 2, 2])
    same = words[:, None] == words
    meaning = functional.one_hot(words, 8).float()
    assert contrast(meaning, meaning, same, 100 * scale) == pytest.approx(np.log(2), abs=1e-4)
    assert contrast(meaning, meaning, same, scale) < contrast(one, other, same, scale)


def test_views_of_a_sound_keep_it_within_bounds() -> None:
    random = np.random.default_rng(0)
    content = random.uniform(-1, 1, (20, 1000)).astype(np.float32)
    content[:, 600:] = 0
    views = louder_and_later(content, random)
    assert views.dtype == np.float32
    assert not np.array_equal(views, content)
    assert not views[:, 700:].any(), "silence stays silence, so that it is known where the sound ends"
    for view, original in zip(views, content, strict=True):
        best = max(np.corrcoef(view[delay : delay + 600], original[:600])[0, 1] for delay in range(101))
        assert best > 0.95
