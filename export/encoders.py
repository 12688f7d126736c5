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
from pydantic import TypeAdapter
from tqdm import tqdm

from export.cosine import EncoderRow, compare, original_vectors
from export.graphs.onnx_model import write_onnx
from export.graphs.variants import PRECISIONS, Precision, variant_file, write_variants
from export.triton.version import MODEL_FILE, new_version
from winnow.encoders.catalog import Contents, read_contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation
from winnow.errors import WinnowError
from winnow.models.encoders.protocol import Encoder
from winnow.release import sha256
from winnow.signatures import SIGNATURES
from winnow.training.encoders.build import load_encoders

PARITY_FILE = "parity.json"

_SAMPLES = 128
_READ = 4 * _SAMPLES
"""Items read for samples; some may have unreadable content."""

_ROWS = TypeAdapter(list[EncoderRow])


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


def install_encoders(
    encoders_folder: Path, version: int, repository: Path, precision: Precision = "fp32"
) -> list[EncoderRow]:
    """Install every exported encoder into Triton's repository as one version, ``{model}/{version}/model.onnx``.

    Args:
        encoders_folder: where :func:`export_encoders` wrote them.
        version: the release.
        repository: Triton's model repository of that release.
        precision: which variant is served.

    Returns:
        The figures of the installed variants, a row per model.

    Raises:
        WinnowError: a version exists already, the variant is too coarse, or a file has changed since its parity check.
    """
    installed = []
    for signature in SIGNATURES:
        folder = encoders_folder / "onnx" / signature.name
        if not folder.exists():
            continue
        rows = _ROWS.validate_json((folder / PARITY_FILE).read_bytes())
        row = next(row for row in rows if row.precision == precision)
        source = folder / variant_file(precision)
        if not row.holds:
            raise WinnowError(f"{row}: serve another precision, or train the encoder longer")
        if sha256(source) != row.sha256:
            raise WinnowError(f"{source} is not the file whose parity was proved: export the encoders again")
        with new_version(signature, version, repository) as partial:
            shutil.copyfile(source, partial / MODEL_FILE)
        installed.append(row)
    return installed


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
