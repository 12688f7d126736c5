"""Encoded sounds to the samples an audio encoder takes. The spectrogram is the business of the ONNX graph."""

import io

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from winnow.encoders import media
from winnow.encoders.media import BrokenMedia

FORMATS = ("WAV", "FLAC", "OGG", "MP3")
MAX_SECONDS = 60
MAX_SAMPLES = 25_000_000
"""Of all channels together: a minute of stereo at the highest rate."""

_RATES = range(1_000, 192_001)
_UNKNOWN = 0xFFFFFFFF
"""What a WAV says of its size when it was written to a pipe."""


def decode(content: bytes, rate: int, samples: int) -> NDArray[np.float32]:
    """Decode a sound, average its channels, resample it, and cut it or pad it with silence.

    Its bytes and what its header says (format, rate, channels, frames) are checked before anything is decoded. What
    carries no length of its own, such as an MP3 without a Xing header, cannot be told from a shorter sound.

    Args:
        content: an encoded sound in one of ``FORMATS``.
        rate: samples a second of the result.
        samples: length of the result.

    Returns:
        float32 [samples] in -1..1; what resampling or a lossy format overshoots is clipped.

    Raises:
        BrokenMedia: the bytes are not a whole sound of such a format, or too many, or longer than ``MAX_SECONDS``.
    """
    media.check_size(len(content))
    _check_whole(content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            _check_header(sound)
            frames = sound.read(sound.frames, dtype="float32", always_2d=True)
            announced, source_rate = sound.frames, sound.samplerate
    except soundfile.LibsndfileError as error:
        raise BrokenMedia(f"not a readable sound ({', '.join(FORMATS)}): {error.error_string}") from error
    if len(frames) < announced:
        raise BrokenMedia(f"the sound is truncated: {len(frames):,} of {announced:,} frames can be read")
    if not np.isfinite(frames).all():
        raise BrokenMedia("the sound has samples that are not finite numbers")

    mono = frames[: -(-samples * source_rate // rate)].mean(axis=1)
    resampled = soxr.resample(mono, source_rate, rate)[:samples] if source_rate != rate else mono
    result = np.zeros(samples, np.float32)
    result[: len(resampled)] = np.clip(resampled, -1, 1)
    return result


def _check_header(sound: soundfile.SoundFile) -> None:
    form = "WAV" if sound.format == "WAVEX" else sound.format
    if form not in FORMATS:
        raise BrokenMedia(f"not a readable sound ({', '.join(FORMATS)}): it is {sound.format}")
    if sound.samplerate not in _RATES:
        raise BrokenMedia(f"{sound.samplerate:,} samples a second are not within {_RATES[0]:,}..{_RATES[-1]:,}")
    if sound.frames < 1:
        raise BrokenMedia("the sound has no frames")
    if sound.frames > MAX_SECONDS * sound.samplerate:
        raise BrokenMedia(
            f"{sound.frames / sound.samplerate:,.0f} seconds are more than the {MAX_SECONDS} that are decoded"
        )
    if sound.frames * sound.channels > MAX_SAMPLES:
        raise BrokenMedia(
            f"{sound.frames:,} frames of {sound.channels} channels are more than the {MAX_SAMPLES:,} samples that are"
            " decoded"
        )


def _check_whole(content: bytes) -> None:
    """Refuse a WAV or an OGG that breaks off: libsndfile reads what there is of them and says nothing."""
    if content[:4] == b"RIFF":
        announced = int.from_bytes(content[4:8], "little")
        if announced not in (_UNKNOWN, 0) and announced + 8 > len(content):
            raise BrokenMedia(f"the sound is truncated: {len(content):,} of {announced + 8:,} bytes are there")
        _check_samples(content)
    if content[:4] == b"OggS":
        page = content[content.rfind(b"OggS") :]
        segments = page[26] if len(page) > 26 else 0
        whole = 27 + segments + sum(page[27 : 27 + segments])
        last = len(page) > 5 and page[5] & 4
        if not last or len(page) < whole:
            raise BrokenMedia("the sound is truncated: its last page is not there")


def _check_samples(content: bytes) -> None:
    """Refuse a WAV whose samples are fewer than their chunk announces."""
    place = 12
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        there = len(content) - place - 8
        if content[place : place + 4] == b"data":
            if size != _UNKNOWN and size > there:
                raise BrokenMedia(f"the sound is truncated: {there:,} of {size:,} bytes of samples are there")
            return
        place += 8 + size + size % 2
