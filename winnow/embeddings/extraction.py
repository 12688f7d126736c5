"""Embed a catalog: only what its encoders have not seen before, and so that a killed run goes on where it was.

Content is known by the digest of its bytes. All of a catalog is digested first; what the store lacks is then encoded,
each distinct content once, and stored shard by shard.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from winnow.embeddings.exported import ExportedEncoder, Ready
from winnow.embeddings.index import Known
from winnow.embeddings.prefetch import ahead
from winnow.embeddings.result import Extraction, save
from winnow.embeddings.runtime import Runtime
from winnow.embeddings.store import EmbeddingStore, Shard, digest
from winnow.encoders import media
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation

BATCH = 32
_SHARD_BATCHES = 16
"""A killed run loses at most what it had encoded of one shard."""

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

    A picture or sound that cannot be decoded is recorded in the store, and not tried again while its bytes are the
    same. One that cannot be read at all is tried again by the next run. :func:`winnow.embeddings.result.told` counts
    both.

    Args:
        encoders_folder: with ``encoders.json``, and ``onnx/{image,text,audio}_encoder/model.onnx`` as exported.
        contents: of the catalog.
        store: where embeddings are kept from run to run.
        show_progress: show bars.
        triton: ``host:port`` of a Triton that serves the same encoders, to encode with; None encodes in this process.
        batch: contents that are encoded together, at least 1.

    Raises:
        WinnowError: an encoder is missing, does not give what ``encoders.json`` says or does not answer in time, or
            the store cannot be reached. What was stored until then stays.
    """
    preparation = Preparation.load(encoders_folder)
    # All of them before any starts: an encoder that is missing should not be found out after hours.
    encoders = [ExportedEncoder.load(encoders_folder, preparation, name) for name in preparation.inputs.widths]
    extraction = Extraction({}, {}, {}, {})
    for encoder in encoders:
        modality, content = encoder.modality, contents.of(encoder.modality)
        digests, problems = _digest(modality, content, show_progress)
        known = Known(digests, encoder.dimension)
        for shard in store.read(modality, encoder.fingerprint, encoder.dimension):
            known.add(shard)
        where = dict(zip(digests, content, strict=True))
        missing = {entry: where[entry] for entry in known.missing()}
        extraction.encoded[modality] = _encode(encoder, missing, known, store, triton, batch, show_progress)
        extraction.digests[modality] = digests
        extraction.vectors[modality], reasons = known.of(digests)
        extraction.problems[modality] = [
            early or (reason and _located(modality, entry, reason))
            for early, reason, entry in zip(problems, reasons, content, strict=True)
        ]
    save(extraction, contents, encoders_folder)
    return extraction


def _digest(
    modality: Modality, content: Sequence[str], show_progress: bool
) -> tuple[list[str | None], list[str | None]]:
    """Per item the digest of its content, and why that cannot be read."""

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
    # Hashing a text takes less than handing it to another thread.
    found = map(of, entries) if modality == "text" else ahead(of, entries, threads=_READERS, at_most=8 * _READERS)
    bar = tqdm(found, total=len(items), desc=f"read {modality}", unit="item", disable=not show_progress)
    for item, (entry, problem) in zip(items, bar, strict=True):
        digests[item], problems[item] = entry, problem
    return digests, problems


def _encode(
    encoder: ExportedEncoder,
    missing: Mapping[str, str],
    known: Known,
    store: EmbeddingStore,
    triton: str | None,
    batch: int,
    show_progress: bool,
) -> int:
    """Encode contents (digest -> text or location) into ``known`` and the store; returns how many have a vector."""
    encoded = 0
    runtime: Runtime | None = None
    waiting: list[Shard] = []
    with (
        tqdm(
            total=len(missing), desc=f"embed {encoder.modality}", unit="item", disable=not (show_progress and missing)
        ) as bar,
        ExitStack() as exits,
        closing(
            ahead(
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
            known.add(shard)
            encoded += shard.problems.count(None)
            waiting.append(_lasting(shard, group))
            if len(waiting) == _SHARD_BATCHES:
                _store(store, encoder, waiting)
                waiting = []
            bar.update(len(group))
        _store(store, encoder, waiting)
    return encoded


def _lasting(shard: Shard, group: Sequence[Ready]) -> Shard:
    """A shard without what may be there the next time."""
    rows = [row for row, ready in enumerate(group) if ready.lasting]
    return Shard([shard.digests[row] for row in rows], shard.vectors[rows], [shard.problems[row] for row in rows])


def _store(store: EmbeddingStore, encoder: ExportedEncoder, shards: Sequence[Shard]) -> None:
    digests = [entry for shard in shards for entry in shard.digests]
    if digests:
        vectors = np.concatenate([shard.vectors for shard in shards])
        problems = [problem for shard in shards for problem in shard.problems]
        store.write(encoder.modality, encoder.fingerprint, Shard(digests, vectors, problems))


def _located(modality: Modality, entry: str, problem: str) -> str:
    """The store knows contents, not where they are."""
    return problem if modality == "text" else f"{entry}: {problem}"
