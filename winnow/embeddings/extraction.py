"""Embedding of a catalog: content that is not in the store is encoded, and a killed run is resumed.

Content is identified by the digest of its bytes. The whole catalog is digested first; content that the store lacks is
then encoded, each distinct content once, and stored shard by shard.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from winnow.embeddings.exported import ExportedEncoder, Ready
from winnow.embeddings.index import EmbeddingIndex
from winnow.embeddings.prefetch import prefetch
from winnow.embeddings.result import Extraction, save
from winnow.embeddings.runtime import Runtime
from winnow.embeddings.store import EmbeddingStore, Shard, digest
from winnow.encoders import media
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation

BATCH = 32
_SHARD_BATCHES = 16
"""Batches per shard; a killed run loses at most one shard."""

_READERS = 8
_PROBES = 4


def extract_embeddings(
    encoders_folder: Path,
    contents: Contents,
    store: EmbeddingStore,
    show_progress: bool,
    triton: str | None = None,
    batch: int = BATCH,
) -> Extraction:
    """Embed every item, and write ``embeddings/{modality}.npy`` and ``items.parquet`` into the encoders' folder.

    An image or sound that cannot be decoded is recorded in the store and not tried again while its bytes are the same.
    One that cannot be read is tried again by the next run. :func:`winnow.embeddings.result.summary` counts both.

    Args:
        encoders_folder: folder with ``encoders.json`` and the exported ``onnx/{image,text,audio}_encoder/model.onnx``.
        contents: content of the catalog.
        store: store of embeddings, shared by runs.
        show_progress: show progress bars.
        triton: ``host:port`` of a Triton that serves the same encoders; ``None`` encodes in this process.
        batch: number of contents per call of an encoder, at least 1.

    Raises:
        WinnowError: an encoder is missing, contradicts ``encoders.json`` or does not answer in time, or the store
            cannot be reached. Shards that are stored by then are kept.
    """
    preparation = Preparation.load(encoders_folder)
    # All encoders are loaded first, so that a missing one fails the run at once and not after hours.
    encoders = [ExportedEncoder.load(encoders_folder, preparation, name) for name in preparation.inputs.widths]
    extraction = Extraction({}, {}, {}, {})
    for encoder in encoders:
        modality, content = encoder.modality, contents.of(encoder.modality)
        digests, problems = _digest(modality, content, show_progress)
        index = EmbeddingIndex(digests, encoder.dimension)
        for shard in store.read(modality, encoder.fingerprint, encoder.dimension):
            index.add(shard)
        where = dict(zip(digests, content, strict=True))
        missing = {entry: where[entry] for entry in index.missing()}
        extraction.encoded[modality] = _encode(encoder, missing, index, store, triton, batch, show_progress)
        extraction.digests[modality] = digests
        extraction.vectors[modality], reasons = index.of(digests)
        extraction.problems[modality] = [
            early or (reason and _located(modality, entry, reason))
            for early, reason, entry in zip(problems, reasons, content, strict=True)
        ]
    save(extraction, contents, encoders_folder)
    return extraction


def _digest(
    modality: Modality, content: Sequence[str], show_progress: bool
) -> tuple[list[str | None], list[str | None]]:
    """The digest of every item's content, and why it cannot be read."""

    def of(entry: str) -> tuple[str | None, str | None]:
        if modality == "text":
            return digest(entry.encode()), None
        try:
            return digest(media.read(entry)), None
        except media.BrokenMedia as error:
            return None, str(error)

    digests: list[str | None] = [None] * len(content)
    problems: list[str | None] = [None] * len(content)
    items = [item for item, entry in enumerate(content) if entry]
    entries = (content[item] for item in items)
    # Hashing a text takes less time than passing it to another thread.
    found = map(of, entries) if modality == "text" else prefetch(of, entries, threads=_READERS, at_most=8 * _READERS)
    bar = tqdm(found, total=len(items), desc=f"read {modality}", unit="item", disable=not show_progress)
    for item, (entry, problem) in zip(items, bar, strict=True):
        digests[item], problems[item] = entry, problem
    return digests, problems


def _encode(
    encoder: ExportedEncoder,
    missing: Mapping[str, str],
    index: EmbeddingIndex,
    store: EmbeddingStore,
    triton: str | None,
    batch: int,
    show_progress: bool,
) -> int:
    """Encode content (digest -> text or location) into ``index`` and the store; returns the number of vectors."""
    encoded = 0
    runtime: Runtime | None = None
    waiting: list[Shard] = []
    with (
        tqdm(
            total=len(missing), desc=f"embed {encoder.modality}", unit="item", disable=not (show_progress and missing)
        ) as bar,
        ExitStack() as exits,
        closing(
            prefetch(
                lambda asked: encoder.prepare(*asked),
                missing.items(),
                threads=len(os.sched_getaffinity(0)),
                at_most=2 * batch,
            )
        ) as prepared,
    ):
        while group := list(islice(prepared, batch)):
            if runtime is None:
                runtime = exits.enter_context(encoder.running(triton, group[:_PROBES]))
            shard = encoder.encode(group, runtime)
            index.add(shard)
            encoded += shard.problems.count(None)
            waiting.append(_lasting(shard, group))
            if len(waiting) == _SHARD_BATCHES:
                _store(store, encoder, waiting)
                waiting = []
            bar.update(len(group))
        _store(store, encoder, waiting)
    return encoded


def _lasting(shard: Shard, group: Sequence[Ready]) -> Shard:
    """The shard without problems that the next run may not have."""
    rows = [row for row, ready in enumerate(group) if ready.lasting]
    return Shard([shard.digests[row] for row in rows], shard.vectors[rows], [shard.problems[row] for row in rows])


def _store(store: EmbeddingStore, encoder: ExportedEncoder, shards: Sequence[Shard]) -> None:
    digests = [entry for shard in shards for entry in shard.digests]
    if digests:
        vectors = np.concatenate([shard.vectors for shard in shards])
        problems = [problem for shard in shards for problem in shard.problems]
        store.write(encoder.modality, encoder.fingerprint, Shard(digests, vectors, problems))


def _located(modality: Modality, entry: str, problem: str) -> str:
    """The problem with its location, which the store does not know."""
    return problem if modality == "text" else f"{entry}: {problem}"
