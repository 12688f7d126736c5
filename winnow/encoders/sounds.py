"""Decoding of sounds to samples for an audio encoder. The spectrogram is part of the ONNX graph."""

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
"""Maximum of samples of all channels: a minute of stereo at the highest rate."""

_RATES = range(1_000, 192_001)
_UNKNOWN = 0xFFFFFFFF
"""The size field of a WAV that was written to a pipe."""


def decode(content: bytes, rate: int, samples: int) -> NDArray[np.float32]:
    """Decode a sound, average its channels, resample it, and cut it or pad it with silence.

    Size and header (format, rate, channels, frames) are checked before the sound is decoded. A truncated sound without
    a length field, such as an MP3 without a Xing header, is not distinguishable from a shorter sound.

    Args:
        content: an encoded sound in one of ``FORMATS``.
        rate: samples per second of the result.
        samples: number of samples of the result.

    Returns:
        float32 [samples] in -1..1; overshoot from resampling or a lossy format is clipped.

    Raises:
        BrokenMedia: the bytes are not a complete sound of such a format, are too many, or are longer than
            ``MAX_SECONDS``.
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
        raise BrokenMedia(f"{sound.samplerate:,} samples per second are not within {_RATES[0]:,}..{_RATES[-1]:,}")
    if sound.frames < 1:
        raise BrokenMedia("the sound has no frames")
    if sound.frames > MAX_SECONDS * sound.samplerate:
        raise BrokenMedia(
            f"{sound.frames / sound.samplerate:,.0f} seconds are more than the {MAX_SECONDS} that are allowed"
        )
    if sound.frames * sound.channels > MAX_SAMPLES:
        raise BrokenMedia(
            f"{sound.frames:,} frames of {sound.channels} channels are more than the {MAX_SAMPLES:,} samples that are"
            " allowed"
        )


def _check_whole(content: bytes) -> None:
    """Refuse a truncated WAV or OGG, of which libsndfile reads the rest without an error."""
    if content[:4] == b"RIFF":
        announced = int.from_bytes(content[4:8], "little")
        if announced not in (_UNKNOWN, 0) and announced + 8 > len(content):
            raise BrokenMedia(f"the sound is truncated: {len(content):,} of {announced + 8:,} bytes are present")
        _check_samples(content)
    if content[:4] == b"OggS":
        page = content[content.rfind(b"OggS") :]
        segments = page[26] if len(page) > 26 else 0
        whole = 27 + segments + sum(page[27 : 27 + segments])
        last = len(page) > 5 and page[5] & 4
        if not last or len(page) < whole:
            raise BrokenMedia("the sound is truncated: its last page is missing")


def _check_samples(content: bytes) -> None:
    """Refuse a WAV with fewer samples than its chunk announces."""
    place = 12
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        present = len(content) - place - 8
        if content[place : place + 4] == b"data":
            if size != _UNKNOWN and size > present:
                raise BrokenMedia(f"the sound is truncated: {present:,} of {size:,} bytes of samples are present")
            return
        place += 8 + size + size % 2
