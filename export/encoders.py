"""Export of a catalog's encoders in every precision, each checked for parity on the catalog's own content."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from export.cosine import EncoderRow, compare, original_vectors
from export.graphs.onnx_model import write_onnx
from export.graphs.variants import PRECISIONS, variant_file, write_variants
from export.installed_encoders import PARITY_FILE
from winnow.encoders.catalog import Contents, read_contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation
from winnow.errors import WinnowError
from winnow.models.encoders.protocol import Encoder
from winnow.training.encoders.build import load_encoders

_SAMPLES = 128
_READ = 4 * _SAMPLES
"""Items read for samples; some may have unreadable content."""


def export_encoders(encoders_folder: Path, dataset_folder: Path, show_progress: bool = False) -> list[EncoderRow]:
    """Export every encoder into ``onnx/{model}/`` of its folder: a file per precision, and ``parity.json``.

    An existing export is replaced once the whole new one has passed its parity check.

    Args:
        encoders_folder: written by ``train_encoders``.
        dataset_folder: the catalog.
        show_progress: show a bar.

    Returns:
        The parity figures, a row per encoder and precision.

    Raises:
        ParityError: the fp32 embeddings differ from PyTorch's.
        WinnowError: the catalog has no readable content for an encoder.
    """
    encoders = load_encoders(encoders_folder)
    if not encoders:
        shutil.rmtree(encoders_folder / "onnx", ignore_errors=True)
        return []
    samples = _samples(encoders, Preparation.load(encoders_folder), read_contents(dataset_folder))
    partial = encoders_folder / f".onnx-{os.getpid()}.partial"
    rows = []
    try:
        with tqdm(encoders.values(), desc="export encoders", unit="model", disable=not show_progress) as bar:
            for encoder in bar:
                folder = partial / encoder.signature.name
                rows += export_encoder(encoder, samples[encoder.modality], folder)
        shutil.rmtree(encoders_folder / "onnx", ignore_errors=True)
        partial.rename(encoders_folder / "onnx")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return rows


def export_encoder(encoder: Encoder, samples: NDArray[Any], folder: Path) -> list[EncoderRow]:
    """Export one encoder into a folder.

    Args:
        encoder: its module on the CPU.
        samples: real inputs, [n, ...], for the comparison and for the ranges of an int8 variant whose ranges are fixed.
        folder: where the files go; created.

    Returns:
        A row per precision.

    Raises:
        ParityError: the fp32 embeddings differ from PyTorch's.
    """
    module, signature = encoder.module.eval(), encoder.signature
    folder.mkdir(parents=True)
    inputs = {signature.inputs[0].name: torch.from_numpy(samples[:4])}
    write_onnx(module, signature, inputs, folder / variant_file("fp32"))
    write_variants(folder, samples)
    original = original_vectors(module, samples)
    rows = [
        compare(original, folder / variant_file(precision), signature, precision, samples) for precision in PRECISIONS
    ]
    (folder / PARITY_FILE).write_text(json.dumps([row.model_dump() for row in rows], indent=1))
    return rows


def _samples(
    encoders: Mapping[Modality, Encoder], preparation: Preparation, contents: Contents
) -> dict[Modality, NDArray[Any]]:
    """Prepared content of items spread over the catalog, per modality [n, ...]."""
    samples: dict[Modality, NDArray[Any]] = {}
    for modality in encoders:
        available = [entry for entry in contents.of(modality) if entry]
        if available:
            spread = np.unique(np.linspace(0, len(available) - 1, _READ).astype(int))
            prepared, _ = preparation.prepare_items(modality, [available[place] for place in spread])
            samples[modality] = prepared[np.unique(np.linspace(0, len(prepared) - 1, _SAMPLES).astype(int))]
        if not len(samples.get(modality, ())):
            raise WinnowError(
                f"no item of the catalog has readable {modality} content to prove the {modality} encoder on: "
                f"add some, or leave {modality} out of the encoders"
            )
    return samples
