"""Hostile pictures and sounds: truncated, of another format, with false sizes, or decompression bombs.

All are generated from one seed; the tests and ``python -m benchmarks hostile`` send the same ones.
"""

import base64
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import soundfile
from PIL import Image

from winnow.errors import WinnowError
from winnow.fields import MAX_MEDIA_BYTES

COUNT = 200
RSS_MB = 50
"""Growth of the server's resident memory that is accepted after all calls."""

PATH = "/v1/models/recommender:predict"

_HUGE = 100_000_000
_SIDE = 30_000


@dataclass(frozen=True)
class Call:
    """A request with a query by content.

    Attributes:
        name: of the fault.
        field: that the error must name.
        body: of the POST.
    """

    name: str
    field: str
    body: bytes


def hostile_calls(seed: int = 0) -> Iterator[Call]:
    """Generate :data:`COUNT` calls one at a time: the largest has 100 MB."""
    rng = np.random.default_rng(seed)
    calls = [
        *_truncated(),
        *_bombs(),
        *_sounds_with_false_headers(),
        *_other_formats(rng),
        *_not_base64(),
        *_not_media(),
    ]
    yield from calls
    yield Call("a body of 100 MB", "body", b'{"instances": [{"query": {"image": {"b64": "' + b"A" * _HUGE)
    for number in range(COUNT - 1 - len(calls)):
        field, magic = (("image", b"\x89PNG\r\n\x1a\n"), ("image", b"\xff\xd8\xff\xe0"), ("audio", b"fLaC"))[number % 3]
        noise = rng.integers(0, 256, int(rng.integers(1, 100_000)), np.uint8).tobytes()
        yield _media(f"noise {number} that begins as a file", field, magic + noise)


def valid_call() -> Call:
    """A call with a picture and a sound that decode."""
    query = {"image": {"b64": _b64(_picture("PNG"))}, "audio": {"b64": _b64(_sound("WAV"))}}
    return Call("valid", "", _query(query))


def send(endpoint: httpx.Client, call: Call) -> httpx.Response:
    """Post a call."""
    return endpoint.post(PATH, content=call.body, headers={"Content-Type": "application/json"}, timeout=60)


def refused(call: Call, answer: httpx.Response) -> bool:
    """Whether an answer is a 4xx whose error names the call's field and gives a reason."""
    if not 400 <= answer.status_code < 500:
        return False
    error = str(answer.json().get("error", ""))
    return re.match(rf"{re.escape(call.field)}[^:]*: .{{5,}}", error, re.DOTALL) is not None


def resident_mb(endpoint: httpx.Client) -> float:
    """The server's resident memory in MB, from its metrics."""
    found = re.search(r"^process_resident_memory_bytes (\S+)$", endpoint.get("/metrics").text, re.MULTILINE)
    if found is None:
        raise WinnowError("the server has no metric process_resident_memory_bytes")
    return float(found[1]) / 1e6


def _truncated() -> Iterator[Call]:
    for kind, cuts in (("JPEG", 30), ("PNG", 30), ("WEBP", 5), ("GIF", 5)):
        whole = _picture(kind)
        for share in np.linspace(0.01, 0.9, cuts):
            yield _media(f"{kind} cut at {share:.0%}", "image", whole[: max(1, int(len(whole) * share))])
    for kind, cuts in (("WAV", 20), ("FLAC", 5), ("OGG", 5)):
        whole = _sound(kind)
        for share in np.linspace(0.01, 0.9, cuts):
            yield _media(f"{kind} cut at {share:.0%}", "audio", whole[: max(1, int(len(whole) * share))])


def _bombs() -> Iterator[Call]:
    for side in (_SIDE, 20_000, 60_000):
        yield _media(f"PNG of {side} x {side}", "image", _png_bomb(side))
        head = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0\0\0\0\xff\xff\xff"
        frame = b"," + struct.pack("<HHHH", 0, 0, side, side) + b"\0\x02\x02\x4c\x01\0;"
        yield _media(f"GIF of {side} x {side}", "image", head + frame)
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 2835, 2835, 0, 0)
        yield _media(
            f"BMP of {side} x {side}", "image", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + b"\0" * 99
        )
        jpeg = _picture("JPEG")
        start = jpeg.index(b"\xff\xc0") + 5
        sized = jpeg[:start] + struct.pack(">HH", side, side) + jpeg[start + 4 :]
        yield _media(f"JPEG of {side} x {side}", "image", sized)


def _sounds_with_false_headers() -> Iterator[Call]:
    for name, size, rate, channels, bits in (
        ("4 GB of samples", 0xFFFFFFF0, 8000, 1, 16),
        ("2 GB of samples", 0x7FFFFFFF, 8000, 2, 16),
        ("no rate", 4000, 0, 1, 16),
        ("4 GHz", 4000, 0xFFFFFFFF, 1, 16),
        ("no channels", 4000, 8000, 0, 16),
        ("65535 channels", 4000, 8000, 65535, 16),
        ("no bits", 4000, 8000, 1, 0),
        ("77 bits", 4000, 8000, 1, 77),
        ("no samples", 0, 8000, 1, 16),
    ):
        yield _media(f"WAV of {name}", "audio", _wav(size, rate, channels, bits, b"\0" * min(size, 4000)))
    long = np.zeros(61 * 8000, np.int16)
    yield _media("WAV of 61 s", "audio", _encoded_sound(long, "WAV"))
    yield _media("FLAC of 20 minutes of silence", "audio", _encoded_sound(np.zeros(1200 * 8000, np.int16), "FLAC"))
    for broken in (np.nan, np.inf):
        yield _media(f"WAV of {broken}", "audio", _encoded_sound(np.full(800, broken), "WAV", "FLOAT"))


def _other_formats(rng: np.random.Generator) -> Iterator[Call]:
    for name, content in (
        ("text", b"a red ball"),
        ("JSON", b'{"b64": "AAAA"}'),
        ("HTML", b"<html><img src='http://localhost/'></html>"),
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'),
        ("PDF", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n"),
        ("ELF", b"\x7fELF\x02\x01\x01" + b"\0" * 57),
        ("ZIP", b"PK\x03\x04" + b"\0" * 60),
        ("pickle", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x07sys.exit."),
        ("TIFF", _picture("TIFF")),
        ("ICO", _picture("ICO")),
        ("one byte", b"\xff"),
    ):
        yield _media(f"{name} as a picture", "image", content)
        yield _media(f"{name} as a sound", "audio", content)
    yield _media("a sound as a picture", "image", _sound("WAV"))
    yield _media("a picture as a sound", "audio", _picture("PNG"))
    for length in (1, 100, 10_000, 1_000_000):
        yield _media(f"{length} random bytes as a picture", "image", rng.bytes(length))
        yield _media(f"{length} random bytes as a sound", "audio", rng.bytes(length))
    whole = _picture("PNG")
    middle = len(whole) // 2
    yield _media(
        "PNG with a wrong checksum", "image", whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    )


def _not_base64() -> Iterator[Call]:
    good = _b64(_picture("PNG"))
    for name, text in (
        ("padding alone", "===="),
        ("a digit too few", good[:-1] if not good.endswith("=") else good.rstrip("=")[:-2]),
        ("a line break", good[:40] + "\n" + good[40:]),
        ("a space", " " + good),
        ("URL-safe letters", "_-_-" + good),
        ("a data URI", "data:image/png;base64," + good),
        ("an address", "http://169.254.169.254/latest/meta-data/"),
        ("a path", "/etc/passwd"),
        ("a file URI", "file:///etc/passwd"),
        ("letters of no alphabet", "äöü" + good),
        ("a null", good[:8] + "\0" + good[8:]),
        ("nothing", ""),
        ("more than the limit of a file", "A" * (4 * (MAX_MEDIA_BYTES // 3) + 8)),
    ):
        for field in ("image", "audio"):
            yield _call(f"{name} as base64", field, {"b64": text})


def _not_media() -> Iterator[Call]:
    for name, value in (
        ("an address", {"url": "http://127.0.0.1:6379/"}),
        ("an S3 address", {"uri": "s3://bucket/key"}),
        ("a path", {"path": "/etc/passwd"}),
        ("both", {"b64": "AAAA", "url": "http://127.0.0.1/"}),
        ("a string", "AAAA"),
        ("a number", 7),
        ("a list", ["AAAA"]),
        ("a number as base64", {"b64": 7}),
        ("a list as base64", {"b64": ["A"] * 1000}),
        ("a null as base64", {"b64": None}),
    ):
        yield _call(f"{name} instead", "image", value)


def _media(name: str, field: str, content: bytes) -> Call:
    return _call(name, field, {"b64": _b64(content)})


def _call(name: str, field: str, value: Any) -> Call:
    return Call(name, f"instances[0].query.{field}", _query({field: value}))


def _query(query: dict[str, Any]) -> bytes:
    return json.dumps({"instances": [{"query": query}]}).encode()


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


def _sound(kind: str) -> bytes:
    noise = np.random.default_rng(2).integers(-9000, 9000, 8000).astype(np.int16)
    return _encoded_sound(noise, kind)


def _encoded_sound(samples: np.ndarray[Any, Any], kind: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format=kind, subtype=subtype)
    return file.getvalue()


def _wav(size: int, rate: int, channels: int, bits: int, samples: bytes) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _png_bomb(side: int) -> bytes:
    """A valid black-and-white PNG that decodes to a thousand times its size."""
    packer = zlib.compressobj(9)
    line = b"\0" * (1 + -(-side // 8))
    packed = b"".join([*(packer.compress(line) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
